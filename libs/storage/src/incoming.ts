import { LowrankError } from '@lowrank/contracts';
import { type Readable } from 'node:stream';

/** The stream to be stored failed, not the store. `cause` is its own error, which is what the caller of put gets. */
export class SourceFailed extends Error {
  constructor(override readonly cause: unknown) {
    super('the source of the object failed', { cause });
  }
}

/**
 * The chunks of an object on its way in. Fails with validation_failed as soon as there are more than `bytes`, or at the end when
 * there are fewer; with SourceFailed when the stream itself does. Destroys the stream when the reader stops early.
 */
export async function* incoming(
  key: string,
  body: Readable | Uint8Array,
  bytes: number,
): AsyncGenerator<Uint8Array> {
  const refuse = (seen: number) =>
    new LowrankError('validation_failed', `${key} was announced with ${bytes} bytes and came with ${seen}.`);
  if (body instanceof Uint8Array) {
    if (body.byteLength !== bytes) throw refuse(body.byteLength);
    yield body;
    return;
  }
  let seen = 0;
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  try {
    for (;;) {
      const next = await chunks.next().catch((error: unknown) => {
        throw new SourceFailed(error);
      });
      if (next.done) break;
      seen += next.value.byteLength;
      if (seen > bytes) throw refuse(seen);
      yield next.value;
    }
  } finally {
    await chunks.return?.();
  }
  if (seen !== bytes) throw refuse(seen);
}

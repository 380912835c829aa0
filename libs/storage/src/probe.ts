import { LowrankError } from '@lowrank/contracts';
import { type ObjectStore } from '@lowrank/domain';
import { randomUUID } from 'node:crypto';

/**
 * Writes the same new key twice with ifAbsent. A store that accepts the second write would let two publishers of one job both
 * win, and some S3 servers ignore the condition silently.
 */
export async function probeConditionalWrites(store: ObjectStore, name: string): Promise<void> {
  const key = `probes/${randomUUID()}`;
  const write = (text: string) => {
    const body = Buffer.from(text);
    return store.put(key, body, { bytes: body.length, ifAbsent: true });
  };
  try {
    if ((await write('first')) && !(await write('second'))) return;
    throw new LowrankError(
      'store_unavailable',
      `The object store (${name}) does not honour conditional writes.`,
      undefined,
      { help: 'Use a store that answers If-None-Match: * with 412, such as AWS S3 or SeaweedFS.' },
    );
  } finally {
    await store.delete(key);
  }
}

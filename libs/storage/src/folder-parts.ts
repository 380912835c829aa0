import { LowrankError } from '@lowrank/contracts';
import { type ObjectPart, type ObjectStore, type ObjectUpload } from '@lowrank/domain';
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';

type Whole = Pick<ObjectStore, 'put' | 'get' | 'head' | 'delete' | 'list'>;
type Parts = Pick<
  ObjectStore,
  'beginParts' | 'signedPart' | 'putPart' | 'parts' | 'completeParts' | 'abortParts'
>;

/** Objects in parts for a store that has none of its own: each part is an object beside the key, and there is one more that says that it was begun. */
export class FolderParts implements Parts {
  constructor(private readonly store: Whole) {}

  async beginParts(key: string): Promise<string> {
    const upload = randomUUID();
    await this.store.put(begun({ key, upload }), new Uint8Array(), { bytes: 0 });
    return upload;
  }

  async signedPart(): Promise<null> {
    return null;
  }

  async putPart(part: ObjectPart, body: Readable | Uint8Array, options: { bytes: number }): Promise<void> {
    await this.#assertBegun(part);
    await this.store.put(keyOf(part), body, options);
  }

  async parts(upload: ObjectUpload): Promise<{ number: number; bytes: number }[]> {
    await this.#assertBegun(upload);
    const parts: { number: number; bytes: number }[] = [];
    for await (const key of this.store.list(folder(upload))) {
      const number = Number(key.slice(folder(upload).length));
      const info = number > 0 ? await this.store.head(key) : null;
      if (info !== null) parts.push({ number, bytes: info.bytes });
    }
    return parts;
  }

  async completeParts(upload: ObjectUpload): Promise<void> {
    const { store } = this;
    const parts = await this.parts(upload);
    const chunks = async function* () {
      for (const { number } of parts) yield* (await store.get(keyOf({ ...upload, number }))).body;
    };
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
    await store.put(upload.key, Readable.from(chunks(), { objectMode: false }), { bytes });
    await this.abortParts(upload);
  }

  async abortParts(upload: ObjectUpload): Promise<void> {
    // First what says that it was begun: nothing is added to what is being removed.
    await this.store.delete(begun(upload));
    for await (const key of this.store.list(folder(upload))) await this.store.delete(key);
  }

  async #assertBegun(upload: ObjectUpload): Promise<void> {
    if ((await this.store.head(begun(upload))) === null)
      throw new LowrankError('not_found', `There is no upload of ${upload.key} that is under way.`);
  }
}

const folder = ({ key, upload }: ObjectUpload): string => `${key}-parts/${upload}/`;
/** Sorts before the parts. */
const begun = (upload: ObjectUpload): string => `${folder(upload)}00000`;
const keyOf = ({ number, ...upload }: ObjectPart): string => folder(upload) + String(number).padStart(5, '0');

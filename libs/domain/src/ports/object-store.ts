import { type Readable } from 'node:stream';

/** An object that comes in parts. */
export interface ObjectUpload {
  key: string;
  /** As beginParts has given it. */
  upload: string;
}
export interface ObjectPart extends ObjectUpload {
  number: number;
}

export interface ObjectInfo {
  bytes: number;
}

/**
 * Bytes by key. Keys are '/'-separated segments of [A-Za-z0-9._-], made by the server, never starting with a dot.
 *
 * Promises: a put is visible whole or not at all; a read after a put sees it; ifAbsent has one winner among racing writers.
 * Deliberately left out: listing order beyond key order, metadata, versions, copying.
 * Errors: LowrankError `not_found` for a missing key on get, `store_unavailable` when the store does not answer after retries.
 */
export interface ObjectStore {
  /**
   * Stores a stream or buffer; `bytes` is its exact length and a stream of another length is refused, storing nothing.
   * With ifAbsent, resolves to false and changes nothing when the key exists.
   */
  put(
    key: string,
    body: Readable | Uint8Array,
    options: { bytes: number; ifAbsent?: boolean },
  ): Promise<boolean>;
  /** A stream of the whole object, or of bytes [start, end) of it. */
  get(key: string, range?: { start: number; end: number }): Promise<{ body: Readable; bytes: number }>;
  /**
   * An absolute URL that reads the object, ranges included, for as long as it is valid and without any header; saved under `filename`.
   * null where the store has no address of its own.
   */
  signedUrl(key: string, options: { seconds: number; filename: string }): Promise<string | null>;
  /**
   * Begins an object that comes in parts, under a key that nobody else uses; resolves to what the calls below know it by. It is there whole once
   * it is completed, and not before.
   */
  beginParts(key: string): Promise<string>;
  /** A URL that part `number` (from 1) of `bytes` bytes can be PUT to for as long as it is valid; null where the store has no address of its own. */
  signedPart(part: ObjectPart, options: { bytes: number; seconds: number }): Promise<string | null>;
  /** Stores a part, in the place of one of the same number. */
  putPart(part: ObjectPart, body: Readable | Uint8Array, options: { bytes: number }): Promise<void>;
  /** Those that are there, in order of their numbers. Error: not_found after it was completed or aborted. */
  parts(upload: ObjectUpload): Promise<{ number: number; bytes: number }[]>;
  /** Makes the object of all parts that are there. */
  completeParts(upload: ObjectUpload): Promise<void>;
  /** Removes the parts; no error when there is nothing to remove. */
  abortParts(upload: ObjectUpload): Promise<void>;
  head(key: string): Promise<ObjectInfo | null>;
  /** No error when the key is absent. */
  delete(key: string): Promise<void>;
  /** Keys under a prefix that ends in '/', in key order. */
  list(prefix: string): AsyncIterable<string>;
  /** Resolves when the store answers and honours ifAbsent; rejects with what is wrong. Called at start-up and by /health. */
  probe(): Promise<void>;
}

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  ListPartsCommand,
  type Part,
  S3Client,
  type S3ClientConfig,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { type S3Config } from '@lowrank/config';
import { LowrankError } from '@lowrank/contracts';
import { type ObjectInfo, type ObjectPart, type ObjectStore, type ObjectUpload } from '@lowrank/domain';
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { incoming, SourceFailed } from './incoming';
import { assertKey, assertPrefix, clip } from './keys';
import { probeConditionalWrites } from './probe';

/** Objects up to this size are held in memory and sent in one request; longer ones in parts of at least this size. */
const partBytes = 8 * 2 ** 20;
/** S3's own limit. */
const maxParts = 10_000;
/** Requests for one call, with waits that double from 0.1 s to at most 20 s in between: about a minute in all. */
const maxAttempts = 10;
const conflictAttempts = 6;
const resumeAttempts = 5;

/** Objects in one bucket of an S3 server. */
export class S3Store implements ObjectStore {
  readonly #client: S3Client;
  /** Makes URLs for others, who know nothing of the client's own checksums. */
  readonly #signing: S3Client;
  readonly #bucket: string;
  readonly #name: string;
  #probed = false;

  /** `config.maxAttempts` is for tests of a server that does not answer. */
  constructor(config: S3Config & { maxAttempts?: number }) {
    this.#bucket = config.bucket;
    this.#name = `bucket ${config.bucket} at ${config.endpoint ?? `AWS ${config.region}`}`;
    const options: S3ClientConfig = {
      ...(config.endpoint === null ? {} : { endpoint: config.endpoint }),
      region: config.region,
      credentials: { accessKeyId: config.accessKeyId, secretAccessKey: config.secretAccessKey },
      forcePathStyle: config.forcePathStyle,
      maxAttempts: config.maxAttempts ?? maxAttempts,
      requestHandler: { connectionTimeout: 5_000, socketTimeout: 60_000 },
    };
    this.#client = new S3Client(options);
    this.#signing = new S3Client({ ...options, requestChecksumCalculation: 'WHEN_REQUIRED' });
  }

  async put(
    key: string,
    body: Readable | Uint8Array,
    options: { bytes: number; ifAbsent?: boolean },
  ): Promise<boolean> {
    assertKey(key);
    return this.#translate(key, async () => {
      const chunks = incoming(key, body, options.bytes);
      // Only what is in memory can be sent again after a conflict.
      if (options.bytes <= partBytes)
        return this.#upload(key, Buffer.concat(await collect(chunks)), options, conflictAttempts);
      return this.#upload(key, Readable.from(chunks, { objectMode: false }), options, 1);
    });
  }

  async get(key: string, range?: { start: number; end: number }): Promise<{ body: Readable; bytes: number }> {
    assertKey(key);
    return this.#translate(key, async () => {
      // Also for the range's sake: a server's own answers to ranges outside the object differ.
      const head = await this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key }));
      const { start, end } = clip(key, head.ContentLength ?? 0, range);
      const open = async (from: number) => {
        const command = new GetObjectCommand({
          Bucket: this.#bucket,
          Key: key,
          Range: `bytes=${from}-${end - 1}`,
          IfMatch: head.ETag,
        });
        return (await this.#client.send(command)).Body as Readable;
      };
      if (end === start) return { body: Readable.from([]), bytes: 0 };
      const first = await open(start);
      const chunks = this.#resuming(key, first, start, end, open);
      return { body: Readable.from(chunks, { objectMode: false }), bytes: end - start };
    });
  }

  async signedUrl(key: string, options: { seconds: number; filename: string }): Promise<string> {
    assertKey(key);
    const command = new GetObjectCommand({
      Bucket: this.#bucket,
      Key: key,
      ResponseContentType: 'application/octet-stream',
      ResponseContentDisposition: `attachment; filename="${options.filename.replace(/[^A-Za-z0-9._-]/g, '_')}"`,
    });
    return this.#translate(key, () => getSignedUrl(this.#client, command, { expiresIn: options.seconds }));
  }

  async beginParts(key: string): Promise<string> {
    assertKey(key);
    const command = new CreateMultipartUploadCommand({ Bucket: this.#bucket, Key: key });
    return this.#translate(key, async () => (await this.#client.send(command)).UploadId ?? '');
  }

  async signedPart(
    { key, upload, number }: ObjectPart,
    { bytes, seconds }: { bytes: number; seconds: number },
  ): Promise<string> {
    assertKey(key);
    const command = new UploadPartCommand({
      ...{ Bucket: this.#bucket, Key: key, UploadId: upload, PartNumber: number, ContentLength: bytes },
    });
    // The length is signed too: a URL is for so many bytes and no more.
    const options = { expiresIn: seconds, signableHeaders: new Set(['host', 'content-length']) };
    return this.#translate(key, () => getSignedUrl(this.#signing, command, options));
  }

  async putPart(
    { key, upload, number }: ObjectPart,
    body: Readable | Uint8Array,
    { bytes }: { bytes: number },
  ): Promise<void> {
    assertKey(key);
    await this.#translate(key, async () => {
      const Body = Buffer.concat(await collect(incoming(key, body, bytes)));
      const command = { Bucket: this.#bucket, Key: key, UploadId: upload, PartNumber: number, Body };
      await this.#client.send(new UploadPartCommand(command));
    });
  }

  async parts({ key, upload }: ObjectUpload): Promise<{ number: number; bytes: number }[]> {
    return (await this.#listParts(key, upload)).map(({ PartNumber = 0, Size = 0 }) => ({
      number: PartNumber,
      bytes: Size,
    }));
  }

  async completeParts({ key, upload }: ObjectUpload): Promise<void> {
    const Parts = (await this.#listParts(key, upload)).map(({ PartNumber, ETag }) => ({ PartNumber, ETag }));
    const command = { Bucket: this.#bucket, Key: key, UploadId: upload, MultipartUpload: { Parts } };
    await this.#translate(key, () => this.#client.send(new CompleteMultipartUploadCommand(command)));
  }

  async abortParts({ key, upload }: ObjectUpload): Promise<void> {
    assertKey(key);
    const command = new AbortMultipartUploadCommand({ Bucket: this.#bucket, Key: key, UploadId: upload });
    try {
      await this.#translate(key, () => this.#client.send(command));
    } catch (error) {
      if (!(error instanceof LowrankError && error.code === 'not_found')) throw error;
    }
  }

  async #listParts(key: string, upload: string): Promise<Part[]> {
    assertKey(key);
    return this.#translate(key, async () => {
      const all: Part[] = [];
      let after: string | undefined;
      // Some servers name a next page after the last, which the SDK's own paging goes on to for ever.
      for (;;) {
        const page = await this.#client.send(
          new ListPartsCommand({
            ...{ Bucket: this.#bucket, Key: key, UploadId: upload },
            PartNumberMarker: after,
          }),
        );
        all.push(...(page.Parts ?? []));
        if (page.IsTruncated !== true) return all;
        after = page.NextPartNumberMarker;
      }
    });
  }

  async head(key: string): Promise<ObjectInfo | null> {
    assertKey(key);
    try {
      return await this.#translate(key, async () => {
        const head = await this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key }));
        return { bytes: head.ContentLength ?? 0 };
      });
    } catch (error) {
      if (error instanceof LowrankError && error.code === 'not_found') return null;
      throw error;
    }
  }

  async delete(key: string): Promise<void> {
    assertKey(key);
    await this.#translate(key, () =>
      this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key })),
    );
  }

  async *list(prefix: string): AsyncIterable<string> {
    assertPrefix(prefix);
    const pages = paginateListObjectsV2({ client: this.#client }, { Bucket: this.#bucket, Prefix: prefix });
    try {
      for await (const page of pages)
        for (const object of page.Contents ?? []) if (object.Key) yield object.Key;
    } catch (error) {
      throw this.#translated(prefix, error);
    }
  }

  async probe(): Promise<void> {
    await this.#translate('the probe', async () => {
      if (this.#probed) {
        await this.#client.send(new HeadBucketCommand({ Bucket: this.#bucket }));
        return;
      }
      await probeConditionalWrites(this, this.#name);
      this.#probed = true;
    });
  }

  /**
   * One upload, in parts when it is long; parts of a failed one are removed. A 412 says that the key exists, a 409 that another
   * conditional write is under way (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
   */
  async #upload(
    key: string,
    body: Readable | Buffer,
    options: { bytes: number; ifAbsent?: boolean },
    attempts: number,
  ): Promise<boolean> {
    const writer = randomUUID();
    for (let attempt = 1; ; attempt++) {
      const upload = new Upload({
        client: this.#client,
        queueSize: 2,
        partSize: Math.max(partBytes, Math.ceil(options.bytes / maxParts)),
        params: {
          Bucket: this.#bucket,
          Key: key,
          Body: body,
          Metadata: { writer },
          ...(options.ifAbsent ? { IfNoneMatch: '*' } : {}),
        },
      });
      try {
        await upload.done();
        return true;
      } catch (error) {
        const status = statusOf(error);
        if (options.ifAbsent && status === 412) return await this.#isBy(writer, key);
        if (status !== 409) throw error;
        if (attempt >= attempts) {
          if (options.ifAbsent && (await this.head(key)) !== null) return await this.#isBy(writer, key);
          throw error;
        }
        await sleep(50 * 2 ** attempt * (0.5 + Math.random()));
      }
    }
  }

  /** A request whose answer was lost is sent again by the client, and the condition then fails on our own object. */
  async #isBy(writer: string, key: string): Promise<boolean> {
    const head = await this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key }));
    return head.Metadata?.writer === writer;
  }

  /** The chunks of [start, end), asking again from where it broke when the connection does. */
  async *#resuming(
    key: string,
    first: Readable,
    start: number,
    end: number,
    open: (from: number) => Promise<Readable>,
  ): AsyncGenerator<Uint8Array> {
    let body = first;
    let at = start;
    for (let failures = 0; at < end;) {
      try {
        for await (const chunk of body as AsyncIterable<Uint8Array>) {
          at += chunk.byteLength;
          failures = 0;
          yield chunk;
        }
        if (at < end) throw new Error(`the answer ended ${end - at} bytes early`);
      } catch (error) {
        if (++failures >= resumeAttempts) throw this.#translated(key, error);
        await sleep(100 * 2 ** failures);
        body = await this.#translate(key, () => open(at));
      }
    }
  }

  async #translate<T>(key: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#translated(key, error);
    }
  }

  #translated(key: string, error: unknown): unknown {
    if (error instanceof SourceFailed) return error.cause;
    if (error instanceof LowrankError) return error;
    const { name, message } = error as Error;
    if (statusOf(error) === 404 && name !== 'NoSuchBucket')
      return new LowrankError('not_found', `There is no object ${key} in ${this.#name}.`);
    return new LowrankError(
      'store_unavailable',
      `The object store (${this.#name}) failed on ${key}: ${name}${message && message !== name ? `, ${message}` : ''}`,
      undefined,
      { cause: error },
    );
  }
}

const statusOf = (error: unknown) =>
  error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return all;
}

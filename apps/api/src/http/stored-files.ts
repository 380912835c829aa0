import { applyDecorators, Global, Inject, Injectable, Module } from '@nestjs/common';
import { ApiOkResponse, ApiResponse } from '@nestjs/swagger';
import { type FileLinks, fileLinksSchema, LowrankError, type StoredFile } from '@lowrank/contracts';
import { after, type ObjectStore, type Ports } from '@lowrank/domain';
import { type Blobs, blobKey } from '@lowrank/storage';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { Readable } from 'node:stream';
import { BLOBS, PORTS, STORE } from '../dependencies';
import { type ByteRange, rangeOf } from './range';

const binary = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };

/** Documents a download by StoredFiles. */
export const ApiFileResponse = () =>
  applyDecorators(
    ApiOkResponse({
      description: 'The bytes, with their SHA-256 as ETag. A damaged file is cut off before its end.',
      content: binary,
    }),
    ApiResponse({
      status: 206,
      description: 'The bytes that Range asks for, not verified.',
      content: binary,
    }),
    ApiResponse({ status: 304, description: 'If-None-Match names this SHA-256.' }),
  );

/** How long links to the object store hold: as long as Hugging Face's own, whose clients use the first link when they try again. */
export const linkSeconds = 3600;

export class FileLinksDto extends createZodDto(fileLinksSchema) {}

/** Sends files of the object store, verified against their SHA-256 on the way, or says where they are. */
@Injectable()
export class StoredFiles {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(STORE) private readonly store: ObjectStore,
    @Inject(BLOBS) private readonly blobs: Blobs,
  ) {}

  /** Answers the request with the file, to be saved under `name`. */
  async send(
    file: StoredFile,
    request: FastifyRequest,
    reply: FastifyReply,
    name: string = file.path,
  ): Promise<void> {
    const etag = `"${file.sha256}"`;
    void reply
      .header('etag', etag)
      .header('cache-control', 'private, no-cache')
      .header('accept-ranges', 'bytes');
    if (request.headers['if-none-match'] === etag) {
      void reply.status(304).send();
      return;
    }
    const range = rangeOf(request.headers, etag, file.bytes);
    if (range === null) {
      void reply.header('content-range', `bytes */${file.bytes}`);
      throw new LowrankError('range_not_satisfiable', `${file.path} has ${file.bytes} bytes.`);
    }
    const { start, end } = range;
    if (end - start < file.bytes)
      void reply.status(206).header('content-range', `bytes ${start}-${end - 1}/${file.bytes}`);
    void reply
      .header('content-type', 'application/octet-stream')
      .header('content-length', end - start)
      .header('content-disposition', attachment(name))
      .header('x-content-type-options', 'nosniff')
      // Of a stream Fastify keeps the headers when the request is a HEAD.
      .send(request.method === 'HEAD' ? Readable.from([]) : await this.open(file, range));
  }

  /** A link to each file that needs no key; null where the object store has no address of its own. */
  async links(files: readonly StoredFile[]): Promise<FileLinks> {
    const expiresAt = after(this.ports.clock.now(), linkSeconds * 1000);
    const link = async ({ path, sha256, bytes }: StoredFile) => {
      const options = { seconds: linkSeconds, filename: path };
      return { path, sha256, bytes, url: await this.store.signedUrl(blobKey(sha256), options) };
    };
    return { files: await Promise.all(files.map(link)), expiresAt };
  }

  /** The whole is verified on its way; a part cannot be. */
  private async open({ sha256, bytes }: StoredFile, range: ByteRange): Promise<Readable> {
    if (range.end - range.start === bytes) return (await this.blobs.open(sha256)).body;
    return this.blobs.openPart(sha256, range);
  }
}

/** A header that saves under a name: ASCII for old clients, and UTF-8 as in RFC 6266. */
export function attachment(name: string): string {
  const ascii = name.replace(/[^A-Za-z0-9._ -]/g, '_');
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16)}`,
  );
  return `attachment; filename="${ascii}"${ascii === name ? '' : `; filename*=UTF-8''${encoded}`}`;
}

@Global()
@Module({ providers: [StoredFiles], exports: [StoredFiles] })
export class StoredFilesModule {}

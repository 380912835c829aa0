import { applyDecorators, Global, Inject, Injectable, Module } from '@nestjs/common';
import { ApiOkResponse, ApiResponse } from '@nestjs/swagger';
import { type StoredFile } from '@lowrank/contracts';
import { type Blobs } from '@lowrank/storage';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { BLOBS } from '../dependencies';

const binary = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };

/** Documents a download by StoredFiles. */
export const ApiFileResponse = () =>
  applyDecorators(
    ApiOkResponse({
      description: 'The bytes, with their SHA-256 as ETag. A damaged file is cut off before its end.',
      content: binary,
    }),
    ApiResponse({ status: 304, description: 'If-None-Match names this SHA-256.' }),
  );

/** Sends files of the object store, verified against their SHA-256 on the way. */
@Injectable()
export class StoredFiles {
  constructor(@Inject(BLOBS) private readonly blobs: Blobs) {}

  /** Answers the request with the file, to be saved under `name`. */
  async send(
    file: StoredFile,
    request: FastifyRequest,
    reply: FastifyReply,
    name: string = file.path,
  ): Promise<void> {
    const etag = `"${file.sha256}"`;
    reply.header('etag', etag).header('cache-control', 'private, no-cache');
    if (request.headers['if-none-match'] === etag) {
      void reply.status(304).send();
      return;
    }
    const { body } = await this.blobs.open(file.sha256);
    void reply
      .header('content-type', 'application/octet-stream')
      .header('content-length', file.bytes)
      .header('content-disposition', attachment(name))
      .header('x-content-type-options', 'nosniff')
      .send(body);
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

import { Controller, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { found } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { BLOBS } from '../dependencies';
import { ApiFileResponse, StoredFiles } from '../http/stored-files';
import { Downloads } from './downloads';
import { downloadPath } from './route';

class DownloadParams extends createZodDto(z.object({ sha256: z.string(), path: z.string() })) {}
class DownloadQuery extends createZodDto(
  z.object({ expires: z.string().default(''), signature: z.string().default('') }),
) {}

@ApiTags('Hugging Face hub')
@Controller(downloadPath)
export class DownloadsController {
  constructor(
    @Inject(BLOBS) private readonly blobs: Blobs,
    private readonly downloads: Downloads,
    private readonly storedFiles: StoredFiles,
  ) {}

  @Get(':sha256/:path')
  @ApiOperation({ summary: 'A file by a signed link, which needs no API key.', security: [] })
  @ApiFileResponse()
  async file(
    @Param() { sha256, path }: DownloadParams,
    @Query() { expires, signature }: DownloadQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.downloads.verify({ sha256, path, expires, signature });
    const bytes = found(await this.blobs.bytes(sha256), 'file', path);
    await this.storedFiles.send({ sha256, path, bytes }, request, reply);
  }
}

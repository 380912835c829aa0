import { Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  openAiDeletedSchema,
  openAiFileSchema,
  openAiPageQuery,
  openAiPageSchema,
  openAiUploadSchema,
} from '@lowrank/contracts';
import { deleteDataset, found, type Ports } from '@lowrank/domain';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { DatasetUploads } from '../files/datasets';
import { Answer } from '../http/answers';
import { ApiFileResponse, StoredFiles } from '../http/stored-files';
import { ApiOpenAiError } from './errors';
import { knownId } from './ids';
import { pageView } from './pages';
import { fileView } from './views';

class OpenAiFileDto extends createZodDto(openAiFileSchema) {}
class OpenAiFilePageDto extends createZodDto(openAiPageSchema(openAiFileSchema)) {}
class OpenAiDeletedDto extends createZodDto(openAiDeletedSchema) {}
class OpenAiFileParams extends createZodDto(z.object({ file_id: z.string().max(64) })) {}
class OpenAiFileQuery extends createZodDto(
  openAiPageQuery({ max: 10_000, default: 10_000 }).extend({
    order: z.enum(['asc', 'desc']).default('desc'),
    purpose: z.string().max(64).default('fine-tune'),
  }),
) {}

const bodySchema = {
  type: 'object',
  required: ['file', 'purpose'],
  properties: {
    file: { type: 'string', format: 'binary' },
    purpose: { type: 'string', enum: ['fine-tune'] },
    'expires_after[anchor]': { type: 'string', enum: ['created_at'] },
    'expires_after[seconds]': { type: 'integer', minimum: 3600, maximum: 2_592_000 },
  },
};

/** Datasets, as files of OpenAI's API. */
@ApiTags('OpenAI')
@ApiOpenAiError()
@Controller('v1/files')
export class OpenAiFilesController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly uploads: DatasetUploads,
    private readonly storedFiles: StoredFiles,
  ) {}

  @Post()
  @Action('datasets.upload')
  @HttpCode(200)
  @ApiOperation({ summary: 'Upload a file to train on: a dataset, checked line by line.' })
  @ApiConsumes('multipart/form-data')
  @ApiBody({ schema: bodySchema })
  @Answer({ status: 200, type: OpenAiFileDto, description: 'The checked file.' })
  async upload(@TeamId() teamId: string, @Req() request: FastifyRequest) {
    return fileView(await this.uploads.accept(teamId, request, openAiUploadSchema));
  }

  @Get()
  @Action('datasets.read')
  @ApiOperation({ summary: 'List files. There are none of another purpose than `fine-tune`.' })
  @Answer({ status: 200, type: OpenAiFilePageDto, description: 'One page.' })
  async list(@TeamId() teamId: string, @Query() { purpose, ...query }: OpenAiFileQuery) {
    if (purpose !== 'fine-tune') return pageView([], false);
    const { data, hasMore } = await this.ports.unitOfWork.look(({ datasets }) =>
      datasets.list(teamId, query),
    );
    return pageView(data.map(fileView), hasMore);
  }

  @Get(':file_id')
  @Action('datasets.read')
  @ApiOperation({ summary: 'One file.' })
  @Answer({ status: 200, type: OpenAiFileDto, description: 'The file.' })
  async get(@TeamId() teamId: string, @Param() { file_id: id }: OpenAiFileParams) {
    return fileView(await this.find(teamId, id));
  }

  @Delete(':file_id')
  @Action('datasets.delete')
  @ApiOperation({ summary: 'Delete a file that no unfinished job trains on.' })
  @Answer({ status: 200, type: OpenAiDeletedDto, description: 'Deleted.' })
  async delete(@TeamId() teamId: string, @Param() { file_id: id }: OpenAiFileParams) {
    await deleteDataset(this.ports, teamId, knownId('dataset', id));
    return { id, object: 'file' as const, deleted: true as const };
  }

  @Get(':file_id/content')
  @Action('datasets.read')
  @ApiOperation({ summary: 'Download a file as it was uploaded.' })
  @ApiFileResponse()
  async content(
    @TeamId() teamId: string,
    @Param() { file_id: id }: OpenAiFileParams,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { filename, sha256, bytes } = await this.find(teamId, id);
    await this.storedFiles.send({ path: id, sha256, bytes }, request, reply, filename);
  }

  private find(teamId: string, id: string) {
    return this.ports.unitOfWork.look(async ({ datasets }) =>
      found(await datasets.find(teamId, knownId('dataset', id)), 'dataset', id),
    );
  }
}

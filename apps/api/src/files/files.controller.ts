import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Inject,
  Param,
  Post,
  Query,
  Req,
  Res,
} from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  datasetFormatSchema,
  datasetPreviewSchema,
  datasetQuerySchema,
  datasetRefSchema,
  datasetSchema,
  datasetStatisticsSchema,
  importUrlSchema,
  pageSchema,
  previewQuerySchema,
  statisticsQuerySchema,
} from '@lowrank/contracts';
import { deleteDataset, found, type Ports } from '@lowrank/domain';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { ApiFileResponse, StoredFiles } from '../http/stored-files';
import { DatasetViews } from './dataset-views';
import { DatasetUploads } from './datasets';
import { StagedDatasets } from './staged-datasets';
import { asJsonl } from './upload';

class DatasetDto extends createZodDto(datasetSchema) {}
class DatasetPageDto extends createZodDto(pageSchema(datasetSchema)) {}
class DatasetPreviewDto extends createZodDto(datasetPreviewSchema) {}
class DatasetStatisticsDto extends createZodDto(datasetStatisticsSchema) {}
class StatisticsQueryDto extends createZodDto(statisticsQuerySchema) {}
class PreviewQueryDto extends createZodDto(previewQuerySchema) {}
class ImportUrlDto extends createZodDto(importUrlSchema) {}
class DatasetQueryDto extends createZodDto(datasetQuerySchema) {}
class DatasetParams extends createZodDto(z.object({ id: datasetRefSchema })) {}

@ApiTags('Files')
@Controller('api/v1/files')
export class FilesController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly uploads: DatasetUploads,
    private readonly staged: StagedDatasets,
    private readonly views: DatasetViews,
    private readonly storedFiles: StoredFiles,
  ) {}

  @Post()
  @Action('datasets.upload')
  @ApiOperation({
    summary: 'Upload a dataset: JSONL, CSV or Parquet, checked row by row',
    description:
      'Rows are chats (`messages`, with `tools` if need be), ShareGPT (`conversations`), `prompt` and `completion`, alpaca (`instruction`, `input`, `output`), or preferences (`prompt`, `chosen`, `rejected`). CSV is told by its name, Parquet and gzip by their content; either is kept as JSONL. A file with wrong rows is refused with the first 20 of them.',
  })
  @ApiConsumes('multipart/form-data')
  @ApiBody({
    schema: {
      type: 'object',
      required: ['file'],
      properties: {
        file: { type: 'string', format: 'binary' },
        name: {
          type: 'string',
          description:
            "What it becomes the next version of. Default: the file's name. The same content is the same version.",
        },
        format: {
          type: 'string',
          enum: datasetFormatSchema.options,
          description: 'Default: that of the first row.',
        },
        baseModel: {
          type: 'string',
          description: 'Name or id of the base model whose tokenizer counts. Default: the oldest.',
        },
      },
    },
  })
  @Answer({ status: 201, type: DatasetDto, description: 'The checked dataset.' })
  upload(@TeamId() teamId: string, @Req() request: FastifyRequest) {
    return this.uploads.accept(teamId, request);
  }

  @Post('import')
  @Action('datasets.upload')
  @ApiOperation({
    summary:
      'Make a dataset of the file that a URL leads to: fetched by the server, and checked as an upload is.',
    description:
      'Only public addresses are spoken to, redirects included. Answers when the dataset is there; give it as long as the file takes.',
  })
  @Answer({ status: 201, type: DatasetDto, description: 'The checked dataset.' })
  import(@TeamId() teamId: string, @Body() body: ImportUrlDto) {
    return this.staged.import(teamId, body);
  }

  @Get()
  @Action('datasets.read')
  @ApiOperation({ summary: 'List datasets, newest first; with `name` the versions of one.' })
  @Answer({ status: 200, type: DatasetPageDto, description: 'One page.' })
  list(@TeamId() teamId: string, @Query() query: DatasetQueryDto) {
    return this.ports.unitOfWork.look(({ datasets }) => datasets.list(teamId, query));
  }

  @Get(':id')
  @Action('datasets.read')
  @ApiOperation({
    summary:
      'One dataset, by its id, its name (`chats`: the newest version), or a version (`chats@3`, `chats@1f2e3d4`).',
  })
  @Answer({ status: 200, type: DatasetDto, description: 'The dataset.' })
  get(@TeamId() teamId: string, @Param() { id }: DatasetParams) {
    return this.ports.unitOfWork.look(async ({ datasets }) =>
      found(await datasets.find(teamId, id), 'dataset', id),
    );
  }

  @Delete(':id')
  @Action('datasets.delete')
  @HttpCode(204)
  @ApiOperation({ summary: 'Delete a dataset that no unfinished job trains on.' })
  @ApiNoContentResponse({ description: 'Deleted.' })
  delete(@TeamId() teamId: string, @Param() { id }: DatasetParams): Promise<void> {
    return deleteDataset(this.ports, teamId, id);
  }

  @Get(':id/preview')
  @Action('datasets.read')
  @ApiOperation({
    summary: 'Rows as a base model sees them: rendered with its template, in tokens, with what is learnt.',
    description: 'A row that cannot be used with this base model has an error with its line instead.',
  })
  @Answer({ status: 200, type: DatasetPreviewDto, description: 'The rows from `row` on.' })
  preview(@TeamId() teamId: string, @Param() { id }: DatasetParams, @Query() query: PreviewQueryDto) {
    return this.views.preview(teamId, id, query);
  }

  @Get(':id/statistics')
  @Action('datasets.read')
  @ApiOperation({
    summary:
      'Lengths of a dataset in tokens of a base model, its duplicates, and what it shares with another dataset.',
    description: 'Counted once and kept. What is still being counted after 15 s is null: ask again.',
  })
  @Answer({ status: 200, type: DatasetStatisticsDto, description: 'What is known.' })
  statistics(@TeamId() teamId: string, @Param() { id }: DatasetParams, @Query() query: StatisticsQueryDto) {
    return this.views.statistics(teamId, id, query);
  }

  @Get(':id/content')
  @Action('datasets.read')
  @ApiOperation({
    summary: 'Download the rows of a dataset as JSONL: the uploaded file, unless it was of another encoding.',
  })
  @ApiFileResponse()
  async content(
    @TeamId() teamId: string,
    @Param() { id }: DatasetParams,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { filename, sha256, bytes } = await this.get(teamId, { id });
    await this.storedFiles.send({ path: id, sha256, bytes }, request, reply, asJsonl(filename));
  }
}

import { Body, Controller, Get, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { baseModelSchema, importBaseModelSchema, pageSchema, storedFileSchema } from '@lowrank/contracts';
import { found, type Ports } from '@lowrank/domain';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { PageQueryDto } from '../http/paging';
import { ApiFileResponse, StoredFiles } from '../http/stored-files';
import { BaseModelImports } from './imports';

/** A name, or an id: neither holds a character that needs escaping in a URL. */
const nameOrId = z.string().regex(/^[a-z0-9._-]{1,96}$/, 'must be a name or an id');

class ImportBaseModelDto extends createZodDto(importBaseModelSchema) {}
class BaseModelDto extends createZodDto(baseModelSchema) {}
class BaseModelPageDto extends createZodDto(pageSchema(baseModelSchema)) {}
class BaseModelParams extends createZodDto(z.object({ name: nameOrId })) {}
class BaseModelFileParams extends createZodDto(
  z.object({ name: nameOrId, path: storedFileSchema.shape.path }),
) {}

@ApiTags('Base models')
@Controller('api/v1/base-models')
export class BaseModelsController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly imports: BaseModelImports,
    private readonly storedFiles: StoredFiles,
  ) {}

  @Post()
  @Action('base-models.import')
  @ApiOperation({
    summary: 'Import a base model',
    description:
      'From a folder of the machine that the API runs on, or from the hub by id. Answers when the model is ready, which takes as long as its files take to copy.',
  })
  @Answer({ status: 201, type: BaseModelDto, description: 'The base model, ready for jobs.' })
  import(@TeamId() teamId: string, @Body() body: ImportBaseModelDto) {
    return this.imports.import(teamId, body);
  }

  @Get()
  @Action('base-models.read')
  @ApiOperation({ summary: 'List base models, newest first.' })
  @Answer({ status: 200, type: BaseModelPageDto, description: 'One page.' })
  list(@TeamId() teamId: string, @Query() query: PageQueryDto) {
    return this.ports.unitOfWork.look(({ baseModels }) => baseModels.list(teamId, query));
  }

  @Get(':name')
  @Action('base-models.read')
  @ApiOperation({ summary: 'One base model, by name or id.' })
  @Answer({ status: 200, type: BaseModelDto, description: 'The base model.' })
  get(@TeamId() teamId: string, @Param() { name }: BaseModelParams) {
    return this.ports.unitOfWork.look(async ({ baseModels }) =>
      found(await baseModels.find(teamId, name), 'base model', name),
    );
  }

  @Get(':name/files/:path')
  @Action('base-models.read')
  @ApiOperation({ summary: "Download one of a base model's files." })
  @ApiFileResponse()
  async file(
    @TeamId() teamId: string,
    @Param() { name, path }: BaseModelFileParams,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { files } = await this.get(teamId, { name });
    const file = found(files.find((one) => one.path === path) ?? null, 'file', path);
    await this.storedFiles.send(file, request, reply);
  }
}

import { Body, Controller, Get, Inject, Param, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  type AdapterVersion,
  adapterCardSchema,
  adapterQuerySchema,
  adapterSchema,
  adapterVersionSchema,
  baseStorageSchema,
  deletedSchema,
  describeAdapterSchema,
  lineageSchema,
  nameSchema,
  type FileLinks,
  pageSchema,
  storedFileSchema,
  versionDiffSchema,
  versionRefSchema,
  versionSelectorSchema,
} from '@lowrank/contracts';
import {
  compareVersions,
  describeAdapter,
  findVersion,
  found,
  ownerOf,
  type Ports,
  readCard,
  readLineage,
} from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { BLOBS, PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { ApiFileResponse, attachment, FileLinksDto, StoredFiles } from '../http/stored-files';
import { archiveOf } from './archive';
import { AdapterImports } from './import';
import { AdapterParams, OwnerQuery, ownerQuerySchema, VersionParams } from './version-params';

class AdapterListQuery extends createZodDto(adapterQuerySchema) {}
class VersionListQuery extends createZodDto(ownerQuerySchema.extend({ deleted: deletedSchema })) {}
class AdapterDto extends createZodDto(adapterSchema) {}
class AdapterPageDto extends createZodDto(pageSchema(adapterSchema)) {}
export class AdapterVersionDto extends createZodDto(adapterVersionSchema) {}
class AdapterVersionListDto extends createZodDto(z.object({ data: z.array(adapterVersionSchema) })) {}
class LineageDto extends createZodDto(lineageSchema) {}
class VersionDiffDto extends createZodDto(versionDiffSchema) {}
class DiffQuery extends createZodDto(
  z.object({ to: versionSelectorSchema.describe('The other version, e.g. `support@v3` or `support@prod`.') }),
) {}
class AdapterCardDto extends createZodDto(adapterCardSchema) {}
class DescribeAdapterDto extends createZodDto(describeAdapterSchema) {}
class VersionFileParams extends createZodDto(
  z.object({ name: nameSchema, version: versionRefSchema, path: storedFileSchema.shape.path }),
) {}

@ApiTags('Adapters')
@Controller('api/v1/adapters')
export class AdaptersController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(BLOBS) private readonly blobs: Blobs,
    private readonly storedFiles: StoredFiles,
    private readonly imports: AdapterImports,
  ) {}

  @Get()
  @Action('adapters.read')
  @ApiOperation({
    summary: 'Find adapters: by text, base model, tag, method or metric; newest first, or sorted.',
  })
  @Answer({ status: 200, type: AdapterPageDto, description: 'One page.' })
  list(@TeamId() teamId: string, @Query() query: AdapterListQuery) {
    return this.ports.unitOfWork.look(({ adapters }) => adapters.list(teamId, query));
  }

  @Get(':name')
  @Action('adapters.read')
  @ApiOperation({ summary: 'One adapter.' })
  @Answer({ status: 200, type: AdapterDto, description: 'The adapter.' })
  get(@TeamId() teamId: string, @Param() { name }: AdapterParams, @Query() { team }: OwnerQuery) {
    return this.ports.unitOfWork.look(async (repositories) => {
      const owner = await ownerOf(repositories, teamId, name, team);
      const adapter = found(await repositories.adapters.find(owner, name), 'adapter', name);
      return owner === teamId ? adapter : { ...adapter, sharedBy: team ?? null, createdBy: null };
    });
  }

  @Patch(':name')
  @Action('adapters.write')
  @ApiOperation({ summary: 'Change the description, the tags or the card of an adapter.' })
  @Answer({ status: 200, type: AdapterDto, description: 'The adapter as it is now.' })
  describe(@TeamId() teamId: string, @Param() { name }: AdapterParams, @Body() body: DescribeAdapterDto) {
    return describeAdapter(this.ports, teamId, name, body);
  }

  @Get(':name/card')
  @Action('adapters.read')
  @ApiOperation({
    summary:
      'What there is to read about an adapter: as somebody wrote it, or made from its versions and lineage.',
  })
  @Answer({ status: 200, type: AdapterCardDto, description: 'Markdown.' })
  card(@TeamId() teamId: string, @Param() { name }: AdapterParams, @Query() { team }: OwnerQuery) {
    return readCard(this.ports, teamId, name, team);
  }

  @Get(':name/versions')
  @Action('adapters.read')
  @ApiOperation({ summary: "List an adapter's versions." })
  @Answer({ status: 200, type: AdapterVersionListDto, description: 'All versions.' })
  versions(
    @TeamId() teamId: string,
    @Param() { name }: AdapterParams,
    @Query() { deleted, team }: VersionListQuery,
  ) {
    return this.ports.unitOfWork.look(async (repositories) => {
      const { adapters } = repositories;
      const owner = await ownerOf(repositories, teamId, name, team);
      found(await adapters.find(owner, name), 'adapter', name);
      return { data: await adapters.versions(owner, name, deleted && owner === teamId) };
    });
  }

  @Post(':name/versions')
  @Action('adapters.write')
  @ApiOperation({
    summary: "Import a folder in PEFT's format as the next version of an adapter, which is made if need be.",
    description:
      'Names and shapes are checked against the base model. Only safetensors are read. Of the recipe of such a version `lora` and `base` alone say something.',
  })
  @ApiConsumes('multipart/form-data')
  @ApiBody({
    schema: {
      type: 'object',
      required: ['file', 'baseModel'],
      properties: {
        file: {
          type: 'array',
          items: { type: 'string', format: 'binary' },
          description: 'adapter_config.json, adapter_model.safetensors and, if you like, README.md.',
        },
        baseModel: { type: 'string', description: 'Name or id of the base model that it was trained on.' },
        quantization: {
          type: 'string',
          enum: baseStorageSchema.shape.quantization.options,
          description: 'How the base is kept for it. Default: nf4.',
        },
      },
    },
  })
  @Answer({ status: 201, type: AdapterVersionDto, description: 'The version.' })
  import(@TeamId() teamId: string, @Param() { name }: AdapterParams, @Req() request: FastifyRequest) {
    return this.imports.accept(teamId, name, request);
  }

  @Get(':name/versions/:version')
  @Action('adapters.read')
  @ApiOperation({ summary: 'One version: `3`, `v3`, `latest` or an alias.' })
  @Answer({ status: 200, type: AdapterVersionDto, description: 'What it is and what it was made from.' })
  version(
    @TeamId() teamId: string,
    @Param() { name, version }: VersionParams,
    @Query() { team }: OwnerQuery,
  ): Promise<AdapterVersion> {
    return this.ports.unitOfWork.look(async (repositories) => {
      const owner = await ownerOf(repositories, teamId, name, team);
      return findVersion(repositories, owner, name, version);
    });
  }

  @Get(':name/versions/:version/lineage')
  @Action('adapters.read')
  @ApiOperation({
    summary: 'Where a version comes from and what came of it: versions, datasets, base models, jobs.',
  })
  @Answer({
    status: 200,
    type: LineageDto,
    description: 'A graph: edges go from what was used to what was made.',
  })
  lineage(@TeamId() teamId: string, @Param() { name, version }: VersionParams) {
    return readLineage(this.ports, teamId, name, version);
  }

  @Get(':name/versions/:version/links')
  @Action('adapters.read')
  @ApiOperation({ summary: "Links to a version's files that need no key and hold for an hour." })
  @Answer({
    status: 200,
    type: FileLinksDto,
    description: 'A link a file, where the object store has an address.',
  })
  async links(
    @TeamId() teamId: string,
    @Param() params: VersionParams,
    @Query() query: OwnerQuery,
  ): Promise<FileLinks> {
    return this.storedFiles.links((await this.version(teamId, params, query)).files);
  }

  @Get(':name/versions/:version/diff')
  @Action('adapters.read')
  @ApiOperation({ summary: 'What differs between a version and another, of this adapter or of another one.' })
  @Answer({
    status: 200,
    type: VersionDiffDto,
    description: 'Differences of source and recipe; metrics and files of both.',
  })
  diff(@TeamId() teamId: string, @Param() { name, version }: VersionParams, @Query() { to }: DiffQuery) {
    return compareVersions(this.ports, teamId, { adapter: name, version }, to);
  }

  @Get(':name/versions/:version/files/:path')
  @Action('adapters.read')
  @ApiOperation({ summary: "Download one of a version's files." })
  @ApiFileResponse()
  async file(
    @TeamId() teamId: string,
    @Param() { name, version, path }: VersionFileParams,
    @Query() owner: OwnerQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { files } = await this.version(teamId, { name, version }, owner);
    const file = found(files.find((one) => one.path === path) ?? null, 'file', path);
    await this.storedFiles.send(file, request, reply);
  }

  @Get(':name/versions/:version/archive')
  @Action('adapters.read')
  @ApiOperation({ summary: 'Download a whole version as a tar archive: a folder that PEFT loads.' })
  @ApiOkResponse({
    description: 'The archive, made as it is sent. It is cut off when a file is damaged.',
    content: { 'application/x-tar': { schema: { type: 'string', format: 'binary' } } },
  })
  async archive(
    @TeamId() teamId: string,
    @Param() params: VersionParams,
    @Query() owner: OwnerQuery,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { adapter, number, files, createdAt } = await this.version(teamId, params, owner);
    const name = `${adapter}-v${number}`;
    void reply
      .header('content-type', 'application/x-tar')
      .header('content-disposition', attachment(`${name}.tar`))
      .send(archiveOf({ name, files, createdAt }, this.blobs));
  }
}

import { Controller, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  type AdapterVersion,
  adapterSchema,
  adapterVersionSchema,
  nameSchema,
  pageQuerySchema,
  pageSchema,
  storedFileSchema,
} from '@lowrank/contracts';
import { found, type Ports } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { BLOBS, PORTS } from '../dependencies';
import { ApiFileResponse, attachment, StoredFiles } from '../http/stored-files';
import { archiveOf } from './archive';

const number = z
  .string()
  .regex(/^(?:latest|v?[1-9]\d{0,8})$/, "must be a version such as '3', 'v3' or 'latest'");

class AdapterListQuery extends createZodDto(
  pageQuerySchema.extend({ query: z.string().max(96).optional().describe('Part of a name.') }),
) {}
class AdapterDto extends createZodDto(adapterSchema) {}
class AdapterPageDto extends createZodDto(pageSchema(adapterSchema)) {}
class AdapterVersionDto extends createZodDto(adapterVersionSchema) {}
class AdapterVersionListDto extends createZodDto(z.object({ data: z.array(adapterVersionSchema) })) {}
class AdapterParams extends createZodDto(z.object({ name: nameSchema })) {}
class VersionParams extends createZodDto(z.object({ name: nameSchema, number })) {}
class VersionFileParams extends createZodDto(
  z.object({ name: nameSchema, number, path: storedFileSchema.shape.path }),
) {}

@ApiTags('Adapters')
@Controller('api/v1/adapters')
export class AdaptersController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(BLOBS) private readonly blobs: Blobs,
    private readonly storedFiles: StoredFiles,
  ) {}

  @Get()
  @Action('adapters.read')
  @ApiOperation({ summary: 'List adapters, newest first.' })
  @ZodResponse({ status: 200, type: AdapterPageDto, description: 'One page.' })
  list(@TeamId() teamId: string, @Query() query: AdapterListQuery) {
    return this.ports.unitOfWork.look(({ adapters }) => adapters.list(teamId, query));
  }

  @Get(':name')
  @Action('adapters.read')
  @ApiOperation({ summary: 'One adapter.' })
  @ZodResponse({ status: 200, type: AdapterDto, description: 'The adapter.' })
  get(@TeamId() teamId: string, @Param() { name }: AdapterParams) {
    return this.ports.unitOfWork.look(async ({ adapters }) =>
      found(await adapters.find(teamId, name), 'adapter', name),
    );
  }

  @Get(':name/versions')
  @Action('adapters.read')
  @ApiOperation({ summary: "List an adapter's versions." })
  @ZodResponse({ status: 200, type: AdapterVersionListDto, description: 'All versions.' })
  versions(@TeamId() teamId: string, @Param() { name }: AdapterParams) {
    return this.ports.unitOfWork.look(async ({ adapters }) => {
      found(await adapters.find(teamId, name), 'adapter', name);
      return { data: await adapters.versions(teamId, name) };
    });
  }

  @Get(':name/versions/:number')
  @Action('adapters.read')
  @ApiOperation({ summary: 'One version: `3`, `v3` or `latest`.' })
  @ZodResponse({ status: 200, type: AdapterVersionDto, description: 'What it is and what it was made from.' })
  version(@TeamId() teamId: string, @Param() { name, number }: VersionParams): Promise<AdapterVersion> {
    return this.ports.unitOfWork.look(async ({ adapters }) => {
      const { latestVersion } = found(await adapters.find(teamId, name), 'adapter', name);
      const wanted = number === 'latest' ? latestVersion : Number(number.replace('v', ''));
      const version = wanted === null ? null : await adapters.version(teamId, name, wanted);
      return found(version, 'version', `${name} ${number}`);
    });
  }

  @Get(':name/versions/:number/files/:path')
  @Action('adapters.read')
  @ApiOperation({ summary: "Download one of a version's files." })
  @ApiFileResponse()
  async file(
    @TeamId() teamId: string,
    @Param() { name, number, path }: VersionFileParams,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { files } = await this.version(teamId, { name, number });
    const file = found(files.find((one) => one.path === path) ?? null, 'file', path);
    await this.storedFiles.send(file, request, reply);
  }

  @Get(':name/versions/:number/archive')
  @Action('adapters.read')
  @ApiOperation({ summary: 'Download a whole version as a tar archive: a folder that PEFT loads.' })
  @ApiOkResponse({
    description: 'The archive, made as it is sent. It is cut off when a file is damaged.',
    content: { 'application/x-tar': { schema: { type: 'string', format: 'binary' } } },
  })
  async archive(
    @TeamId() teamId: string,
    @Param() { name, number }: VersionParams,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const version = await this.version(teamId, { name, number });
    void reply
      .header('content-type', 'application/x-tar')
      .header('content-disposition', attachment(`${name}-v${version.number}.tar`))
      .send(archiveOf(version, this.blobs));
  }
}

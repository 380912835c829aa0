import { Body, Controller, Get, Inject, Param, Post, Req, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  createExportSchema,
  exportFormatSchema,
  type FileLinks,
  jobDetailSchema,
  nameSchema,
  type Principal,
  storedFileSchema,
  type VersionExport,
  versionExportSchema,
  versionRefSchema,
} from '@lowrank/contracts';
import { findVersion, found, type Ports, submitExport } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { Caller, TeamId } from '../auth/caller';
import { BLOBS, PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { ApiFileResponse, attachment, FileLinksDto, StoredFiles } from '../http/stored-files';
import { archiveOf } from './archive';
import { VersionParams } from './version-params';

const exportParams = z.object({ name: nameSchema, version: versionRefSchema, format: exportFormatSchema });
class CreateExportDto extends createZodDto(createExportSchema) {}
class ExportJobDto extends createZodDto(jobDetailSchema) {}
class VersionExportDto extends createZodDto(versionExportSchema) {}
class VersionExportListDto extends createZodDto(z.object({ data: z.array(versionExportSchema) })) {}
class ExportParams extends createZodDto(exportParams) {}
class ExportFileParams extends createZodDto(exportParams.extend({ path: storedFileSchema.shape.path })) {}

/** Versions in other formats: docs/exports.md. */
@ApiTags('Exports')
@Controller('api/v1/adapters/:name/versions/:version/exports')
export class ExportsController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(BLOBS) private readonly blobs: Blobs,
    private readonly storedFiles: StoredFiles,
  ) {}

  @Post()
  @Action('jobs.submit')
  @ApiOperation({
    summary: 'Submit a job that writes a version in another format, and certifies that it answers alike.',
  })
  @Answer({ status: 201, type: ExportJobDto, description: 'The queued job.' })
  create(
    @Caller() caller: Principal,
    @Param() { name, version }: VersionParams,
    @Body() body: CreateExportDto,
  ) {
    return submitExport(this.ports, caller, { adapter: name, version }, body);
  }

  @Get()
  @Action('adapters.read')
  @ApiOperation({ summary: "List a version's exports, with their certificates." })
  @Answer({ status: 200, type: VersionExportListDto, description: 'One of each format at most.' })
  list(@TeamId() teamId: string, @Param() { name, version }: VersionParams) {
    return this.ports.unitOfWork.look(async (repositories) => {
      const { number } = await findVersion(repositories, teamId, name, version);
      return { data: await repositories.exports.list(teamId, name, number) };
    });
  }

  @Get(':format')
  @Action('adapters.read')
  @ApiOperation({ summary: 'One export.' })
  @Answer({ status: 200, type: VersionExportDto, description: 'Its files and its certificate.' })
  get(@TeamId() teamId: string, @Param() { name, version, format }: ExportParams): Promise<VersionExport> {
    return this.ports.unitOfWork.look(async (repositories) => {
      const { number } = await findVersion(repositories, teamId, name, version);
      return found(await repositories.exports.find(teamId, name, number, format), 'export', format);
    });
  }

  @Get(':format/links')
  @Action('adapters.read')
  @ApiOperation({ summary: "Links to an export's files that need no key and hold for an hour." })
  @Answer({
    status: 200,
    type: FileLinksDto,
    description: 'A link a file, where the object store has an address.',
  })
  async links(@TeamId() teamId: string, @Param() params: ExportParams): Promise<FileLinks> {
    return this.storedFiles.links((await this.get(teamId, params)).files);
  }

  @Get(':format/files/:path')
  @Action('adapters.read')
  @ApiOperation({ summary: "Download one of an export's files." })
  @ApiFileResponse()
  async file(
    @TeamId() teamId: string,
    @Param() { path, ...params }: ExportFileParams,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { files } = await this.get(teamId, params);
    const file = found(files.find((one) => one.path === path) ?? null, 'file', path);
    await this.storedFiles.send(file, request, reply);
  }

  @Get(':format/archive')
  @Action('adapters.read')
  @ApiOperation({ summary: 'Download a whole export as a tar archive.' })
  @ApiOkResponse({
    description: 'The archive, made as it is sent. It is cut off when a file is damaged.',
    content: { 'application/x-tar': { schema: { type: 'string', format: 'binary' } } },
  })
  async archive(
    @TeamId() teamId: string,
    @Param() params: ExportParams,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { adapter, version, format, files, createdAt } = await this.get(teamId, params);
    const name = `${adapter}-v${version}-${format}`;
    void reply
      .header('content-type', 'application/x-tar')
      .header('content-disposition', attachment(`${name}.tar`))
      .send(archiveOf({ name, files, createdAt }, this.blobs));
  }
}

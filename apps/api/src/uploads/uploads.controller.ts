import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Put, Req } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Config } from '@lowrank/config';
import {
  createUploadSchema,
  datasetSchema,
  idSchema,
  LowrankError,
  partTargetSchema,
  requestPartsSchema,
  uploadLimits,
  uploadStateSchema,
} from '@lowrank/contracts';
import {
  assertPart,
  beginUpload,
  bytesOfPart,
  findUpload,
  type ObjectStore,
  partTargets,
  type Ports,
  removeUpload,
  stagedAt,
  stateOf,
} from '@lowrank/domain';
import { type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { Readable } from 'node:stream';
import { z } from 'zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { CONFIG, PORTS, STORE } from '../dependencies';
import { StagedDatasets } from '../files/staged-datasets';
import { Answer } from '../http/answers';

class CreateUploadDto extends createZodDto(createUploadSchema) {}
class UploadStateDto extends createZodDto(uploadStateSchema) {}
class RequestPartsDto extends createZodDto(requestPartsSchema) {}
class PartTargetsDto extends createZodDto(z.object({ parts: z.array(partTargetSchema) })) {}
class UploadedDatasetDto extends createZodDto(datasetSchema) {}
const uploadId = idSchema('upload');
class UploadParams extends createZodDto(z.object({ id: uploadId })) {}
class PartParams extends createZodDto(
  z.object({ id: uploadId, number: z.coerce.number().int().min(1).max(uploadLimits.parts) }),
) {}

/** Large files in parts, which may be sent again, later, and beside each other: docs/datasets.md. */
@ApiTags('Uploads')
@Controller('api/v1/uploads')
export class UploadsController {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(STORE) private readonly store: ObjectStore,
    private readonly staged: StagedDatasets,
  ) {}

  @Post()
  @Action('datasets.send')
  @ApiOperation({
    summary: 'Begin a file that comes in parts; with a SHA-256, go on with one that was left half-way.',
    description:
      'Ask where the parts go, PUT each there, and complete the upload. What is not completed within a day is removed.',
  })
  @Answer({ status: 201, type: UploadStateDto, description: 'The upload, and which parts are there.' })
  begin(@TeamId() teamId: string, @Body() body: CreateUploadDto) {
    const ports = { ...this.ports, store: this.store };
    return beginUpload(ports, teamId, body, this.config.limits.uploadBytes);
  }

  @Get(':id')
  @Action('datasets.send')
  @ApiOperation({ summary: 'An upload, and which of its parts are there.' })
  @Answer({ status: 200, type: UploadStateDto, description: 'The upload.' })
  async get(@TeamId() teamId: string, @Param() { id }: UploadParams) {
    return stateOf(this.store, await findUpload(this.ports, teamId, id));
  }

  @Post(':id/parts')
  @Action('datasets.send')
  @HttpCode(200)
  @ApiOperation({ summary: 'Where parts are PUT to; an address is good for fifteen minutes.' })
  @Answer({ status: 200, type: PartTargetsDto, description: 'An address for each part.' })
  async targets(
    @TeamId() teamId: string,
    @Param() { id }: UploadParams,
    @Body() { numbers }: RequestPartsDto,
  ) {
    const upload = await findUpload(this.ports, teamId, id);
    const ports = { ...this.ports, store: this.store };
    const ours = (number: number) => `/api/v1/uploads/${id}/parts/${number}`;
    return { parts: await partTargets(ports, upload, numbers, ours) };
  }

  @Put(':id/parts/:number')
  @Action('datasets.send')
  @HttpCode(204)
  @ApiOperation({ summary: 'Send a part, where the object store has no address of its own.' })
  @ApiConsumes('application/octet-stream')
  @ApiBody({ schema: { type: 'string', format: 'binary' } })
  @ApiNoContentResponse({ description: 'The part is there.' })
  async put(
    @TeamId() teamId: string,
    @Param() { id, number }: PartParams,
    @Req() request: FastifyRequest,
  ): Promise<void> {
    const upload = await findUpload(this.ports, teamId, id);
    assertPart(upload, number);
    const { body } = request;
    if (!(body instanceof Readable))
      throw new LowrankError(
        'validation_failed',
        'The part has no bytes: send them as application/octet-stream.',
      );
    await this.store.putPart({ ...stagedAt(upload), number }, body, { bytes: bytesOfPart(upload, number) });
  }

  @Post(':id/complete')
  @Action('datasets.upload')
  @ApiOperation({
    summary:
      'Make a dataset of an upload whose parts are all there: checked row by row, as an upload in one piece is.',
  })
  @Answer({ status: 201, type: UploadedDatasetDto, description: 'The checked dataset.' })
  async complete(@TeamId() teamId: string, @Param() { id }: UploadParams) {
    return this.staged.complete(teamId, await findUpload(this.ports, teamId, id));
  }

  @Delete(':id')
  @Action('datasets.send')
  @HttpCode(204)
  @ApiOperation({ summary: 'Abort an upload: its parts are removed.' })
  @ApiNoContentResponse({ description: 'Removed.' })
  async abort(@TeamId() teamId: string, @Param() { id }: UploadParams): Promise<void> {
    const upload = await findUpload(this.ports, teamId, id);
    await removeUpload({ ...this.ports, store: this.store }, upload);
  }
}

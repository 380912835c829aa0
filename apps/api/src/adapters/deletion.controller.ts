import { Controller, Delete, HttpCode, Inject, Param, Post } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { adapterSchema, adapterVersionSchema } from '@lowrank/contracts';
import { deleteAdapter, deleteVersion, type Ports, restoreAdapter, restoreVersion } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { AdapterParams, VersionParams } from './version-params';

class AdapterDto extends createZodDto(adapterSchema) {}
class AdapterVersionDto extends createZodDto(adapterVersionSchema) {}

@ApiTags('Adapters')
@Controller('api/v1/adapters/:name')
export class DeletionController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Delete()
  @Action('adapters.write')
  @HttpCode(204)
  @ApiOperation({ summary: 'Delete an adapter with its versions; it can be restored for a while.' })
  @ApiNoContentResponse({ description: 'Deleted.' })
  deleteAdapter(@TeamId() teamId: string, @Param() { name }: AdapterParams): Promise<void> {
    return deleteAdapter(this.ports, teamId, name);
  }

  @Post('restore')
  @Action('adapters.write')
  @HttpCode(200)
  @ApiOperation({ summary: 'Bring a deleted adapter back.' })
  @Answer({ status: 200, type: AdapterDto, description: 'The adapter.' })
  restoreAdapter(@TeamId() teamId: string, @Param() { name }: AdapterParams) {
    return restoreAdapter(this.ports, teamId, name);
  }

  @Delete('versions/:version')
  @Action('adapters.write')
  @HttpCode(204)
  @ApiOperation({ summary: 'Delete a version, named by its number; it can be restored for a while.' })
  @ApiNoContentResponse({ description: 'Deleted.' })
  deleteVersion(@TeamId() teamId: string, @Param() { name, version }: VersionParams): Promise<void> {
    return deleteVersion(this.ports, teamId, name, version);
  }

  @Post('versions/:version/restore')
  @Action('adapters.write')
  @HttpCode(200)
  @ApiOperation({ summary: 'Bring a deleted version back.' })
  @Answer({ status: 200, type: AdapterVersionDto, description: 'The version.' })
  restoreVersion(@TeamId() teamId: string, @Param() { name, version }: VersionParams) {
    return restoreVersion(this.ports, teamId, name, version);
  }
}

import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Put } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  nameSchema,
  pinSchema,
  pinStatusSchema,
  prefetchedSchema,
  prefetchSchema,
  versionRefSchema,
} from '@lowrank/contracts';
import { pinTarget, type Ports } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { Actor, TeamId } from '../auth/caller';
import { PinKeeper } from '../completions/pin-keeper';
import { Servers } from '../completions/servers';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { VersionParams } from './version-params';

class PinDto extends createZodDto(pinSchema) {}
class PinStatusListDto extends createZodDto(z.object({ data: z.array(pinStatusSchema) })) {}
class PinParams extends createZodDto(z.object({ name: nameSchema, ref: versionRefSchema })) {}
class PrefetchDto extends createZodDto(prefetchSchema) {}
class PrefetchedDto extends createZodDto(prefetchedSchema) {}

/** What servers have in memory before it is asked for: docs/serving.md. */
@ApiTags('Serving')
@Controller('api/v1')
export class PinsController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly keeper: PinKeeper,
    private readonly servers: Servers,
  ) {}

  @Get('pins')
  @Action('adapters.read')
  @ApiOperation({ summary: 'List the adapters that servers keep loaded, and whether they are.' })
  @Answer({ status: 200, type: PinStatusListDto, description: 'All pins, by adapter.' })
  async list(@TeamId() teamId: string) {
    return { data: await this.keeper.statuses(teamId) };
  }

  @Put('adapters/:name/pins/:ref')
  @Action('pins.write')
  @ApiOperation({ summary: 'Have a version, or whichever an alias stands on, kept loaded.' })
  @Answer({ status: 200, type: PinDto, description: 'The pin.' })
  pin(@TeamId() teamId: string, @Actor() actor: string, @Param() { name, ref }: PinParams) {
    return this.keeper.pin(teamId, { adapter: name, ref }, actor);
  }

  @Delete('adapters/:name/pins/:ref')
  @Action('pins.write')
  @HttpCode(204)
  @ApiOperation({ summary: 'Have it kept no more: it stays until others need the room.' })
  @ApiNoContentResponse({ description: 'Removed.' })
  unpin(@TeamId() teamId: string, @Param() { name, ref }: PinParams): Promise<void> {
    return this.keeper.unpin(teamId, { adapter: name, ref });
  }

  @Post('adapters/:name/versions/:version/prefetch')
  @Action('adapters.prefetch')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Have a version loaded by the servers that its requests go to, and wait for that.',
  })
  @Answer({ status: 200, type: PrefetchedDto, description: 'It is loaded.' })
  async prefetch(
    @TeamId() teamId: string,
    @Param() { name, version: ref }: VersionParams,
    @Body() { servers }: PrefetchDto,
  ) {
    const { version, target } = await this.ports.unitOfWork.look((repositories) =>
      pinTarget(repositories, teamId, { adapter: name, ref }),
    );
    const count = await this.servers.prefetch(target, servers);
    await this.ports.unitOfWork.run(({ audit }) =>
      audit.add('prefetch', { kind: 'adapter', name: `${name}@v${version}` }, { servers: count }),
    );
    return { adapter: name, version, servers: count };
  }
}

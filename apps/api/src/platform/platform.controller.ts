import { Controller, Get, Inject, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Config } from '@lowrank/config';
import {
  platformOverviewSchema,
  queueInspectionSchema,
  queueQuerySchema,
  servicesSchema,
  settingsSchema,
} from '@lowrank/contracts';
import { inspectQueue, platformOverview, type Ports, type QueueInspector } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { Action } from '../auth/action';
import { CONFIG, PORTS, QUEUE } from '../dependencies';
import { Answer } from '../http/answers';
import { Services } from './services';
import { settingsOf } from './settings';

class PlatformOverviewDto extends createZodDto(platformOverviewSchema) {}
class QueueInspectionDto extends createZodDto(queueInspectionSchema) {}
class QueueQueryDto extends createZodDto(queueQuerySchema) {}
class ServicesDto extends createZodDto(servicesSchema) {}
class SettingsDto extends createZodDto(settingsSchema) {}

/** The installation as a whole, for those who run it. */
@ApiTags('Platform')
@Controller('api/v1/platform')
export class PlatformController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(QUEUE) private readonly queueInspector: QueueInspector,
    private readonly all: Services,
  ) {}

  @Get('overview')
  @Action('platform.read')
  @ApiOperation({
    summary: 'How the installation stands: jobs, queue, workers, and what each team uses. Admin keys only.',
  })
  @Answer({ status: 200, type: PlatformOverviewDto, description: 'Of all teams together.' })
  overview() {
    return platformOverview(this.ports);
  }

  @Get('queue')
  @Action('platform.read')
  @ApiOperation({
    summary: 'What waits for a slot, of all teams and the longest waiting first, and why. Admin keys only.',
  })
  @Answer({
    status: 200,
    type: QueueInspectionDto,
    description: 'One page, with the backlog of the outbox and what is in the queue of each worker.',
  })
  queue(@Query() query: QueueQueryDto) {
    return inspectQueue(this.ports, this.queueInspector, query);
  }

  @Get('services')
  @Action('platform.read')
  @ApiOperation({
    summary: 'Database, queue, object store and servers: whether they answer, how fast. Admin keys only.',
  })
  @Answer({ status: 200, type: ServicesDto, description: 'All of them, the failing ones too.' })
  async services() {
    return { at: this.ports.clock.now(), data: await this.all.look() };
  }

  @Get('settings')
  @Action('platform.read')
  @ApiOperation({ summary: 'What this API process was started with, without secrets. Admin keys only.' })
  @Answer({ status: 200, type: SettingsDto, description: 'Every setting, in order of names.' })
  settings() {
    return settingsOf(this.config);
  }
}

import { Body, Controller, Get, HttpCode, Inject, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { drainWorkerSchema, idSchema, workerSchema } from '@lowrank/contracts';
import { before, drainWorker, listWorkers, type Ports, workerSeenWithinMs } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';

class WorkerDto extends createZodDto(workerSchema) {}
class WorkerListDto extends createZodDto(z.object({ data: z.array(workerSchema) })) {}
class WorkerParams extends createZodDto(z.object({ id: idSchema('worker') })) {}
class DrainWorkerDto extends createZodDto(drainWorkerSchema) {}

@ApiTags('Workers')
@Controller('api/v1/workers')
export class WorkersController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Get()
  @Action('workers.read')
  @ApiOperation({ summary: 'List workers that were seen within the last minute. Admin keys only.' })
  @Answer({ status: 200, type: WorkerListDto, description: 'Every worker, in order of their hosts.' })
  async list() {
    return { data: await listWorkers(this.ports, before(this.ports.clock.now(), workerSeenWithinMs)) };
  }

  @Post(':id/drain')
  @Action('workers.drain')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Give a worker no new jobs, and let it finish or hand on what it runs. Admin keys only.',
  })
  @Answer({ status: 200, type: WorkerDto, description: 'The worker. It is drained when `busy` is 0.' })
  drain(@Param() { id }: WorkerParams, @Body() { mode }: DrainWorkerDto) {
    return drainWorker(this.ports, id, mode);
  }

  @Post(':id/undrain')
  @Action('workers.drain')
  @HttpCode(200)
  @ApiOperation({ summary: 'Let a worker that drains take jobs again. Admin keys only.' })
  @Answer({ status: 200, type: WorkerDto, description: 'The worker.' })
  undrain(@Param() { id }: WorkerParams) {
    return drainWorker(this.ports, id, null);
  }
}

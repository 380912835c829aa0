import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  createSweepSchema,
  idSchema,
  pageQuerySchema,
  pageSchema,
  promoteTrialSchema,
  sweepSchema,
  sweepStateSchema,
  sweepWithTrialsSchema,
} from '@lowrank/contracts';
import { cancelSweep, type Ports, promoteTrial, submitSweep, sweepWithTrials } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';

class CreateSweepDto extends createZodDto(createSweepSchema) {}
class PromoteTrialDto extends createZodDto(promoteTrialSchema) {}
class SweepDto extends createZodDto(sweepWithTrialsSchema) {}
class SweepPageDto extends createZodDto(pageSchema(sweepSchema)) {}
class SweepParams extends createZodDto(z.object({ id: idSchema('sweep') })) {}
class SweepListQuery extends createZodDto(pageQuerySchema.extend({ state: sweepStateSchema.optional() })) {}

@ApiTags('Sweeps')
@Controller('api/v1/sweeps')
export class SweepsController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Post()
  @Action('sweeps.submit')
  @ApiOperation({
    summary: 'Submit a sweep: trials over fields of a recipe, of which the best is published.',
  })
  @Answer({ status: 201, type: SweepDto, description: 'The sweep and its trials, queued.' })
  create(@TeamId() teamId: string, @Body() body: CreateSweepDto) {
    return submitSweep(this.ports, teamId, body);
  }

  @Get()
  @Action('sweeps.read')
  @ApiOperation({ summary: 'List sweeps, newest first.' })
  @Answer({ status: 200, type: SweepPageDto, description: 'One page, without trials.' })
  list(@TeamId() teamId: string, @Query() query: SweepListQuery) {
    return this.ports.unitOfWork.run(({ sweeps }) => sweeps.list(teamId, query));
  }

  @Get(':id')
  @Action('sweeps.read')
  @ApiOperation({ summary: 'One sweep with all of its trials.' })
  @Answer({ status: 200, type: SweepDto, description: 'The sweep as it is now.' })
  get(@TeamId() teamId: string, @Param() { id }: SweepParams) {
    return this.ports.unitOfWork.read((repositories) => sweepWithTrials(repositories, teamId, id));
  }

  @Post(':id/cancel')
  @Action('sweeps.control')
  @HttpCode(200)
  @ApiOperation({ summary: 'Cancel every trial that is not over. Nothing is promoted then.' })
  @Answer({ status: 200, type: SweepDto, description: 'The sweep; cancelled, or with cancelRequested.' })
  cancel(@TeamId() teamId: string, @Param() { id }: SweepParams) {
    return cancelSweep(this.ports, teamId, id);
  }

  @Post(':id/promote')
  @Action('sweeps.control')
  @HttpCode(200)
  @ApiOperation({ summary: "Make a trial of your choice the adapter's next version." })
  @Answer({ status: 200, type: SweepDto, description: 'The sweep, with the trial promoted.' })
  promote(@TeamId() teamId: string, @Param() { id }: SweepParams, @Body() { trial }: PromoteTrialDto) {
    return promoteTrial(this.ports, teamId, id, trial);
  }
}

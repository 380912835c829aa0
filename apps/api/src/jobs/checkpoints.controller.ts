import { Controller, Get, HttpCode, Inject, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { listCheckpoints, type Ports, promoteCheckpoint } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { AdapterVersionDto } from '../adapters/adapters.controller';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { BLOBS, PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { JobCheckpointParams, JobCheckpointsDto, JobParams } from './jobs.dto';

@ApiTags('Jobs')
@Controller('api/v1/jobs/:id/checkpoints')
export class CheckpointsController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(BLOBS) private readonly blobs: Blobs,
  ) {}

  @Get()
  @Action('jobs.read')
  @ApiOperation({
    summary: 'States of its adapter that a job keeps, and what it has published; newest first.',
    description:
      'Of checkpoints and evaluations the newest `checkpoints.keep` of the recipe, and the best by the loss on the rows held out. Of a job that has ended they are kept as long as what is deleted.',
  })
  @Answer({ status: 200, type: JobCheckpointsDto, description: 'All of them.' })
  async list(@TeamId() teamId: string, @Param() { id }: JobParams) {
    return { data: await listCheckpoints(this.ports, teamId, id) };
  }

  @Post(':step/promote')
  @Action('adapters.write')
  @HttpCode(200)
  @ApiOperation({
    summary: "Make a kept state the next version of the job's adapter.",
    description: 'Once: again, it answers with the version that it was made.',
  })
  @Answer({ status: 200, type: AdapterVersionDto, description: 'The version.' })
  promote(@TeamId() teamId: string, @Param() { id, step }: JobCheckpointParams) {
    const verify = async (files: { sha256: string }[]) => {
      for (const { sha256 } of files) await this.blobs.verify(sha256);
    };
    return promoteCheckpoint(this.ports, teamId, { jobId: id, step, verify });
  }
}

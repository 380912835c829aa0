import { Inject, Injectable } from '@nestjs/common';
import { type FineTuningCheckpoint, type Job } from '@lowrank/contracts';
import { listCheckpoints, type Ports } from '@lowrank/domain';
import { PORTS } from '../dependencies';
import { teamName } from './models';
import { checkpointView } from './views';

/** States of a job's adapter that are kept, and what it has published. */
@Injectable()
export class FineTuningCheckpoints {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  /** Newest first. */
  async list(teamId: string, job: Job): Promise<FineTuningCheckpoint[]> {
    const kept = await listCheckpoints(this.ports, teamId, job.id);
    const team = await this.ports.unitOfWork.look(({ teams }) => teamName({ teams }, teamId));
    return kept.map((checkpoint) => checkpointView(team, job, checkpoint));
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { type FineTuningCheckpoint, type Job } from '@lowrank/contracts';
import { isFinal, type ObjectStore, type Ports } from '@lowrank/domain';
import { Checkpoints } from '@lowrank/storage';
import { PORTS, STORE } from '../dependencies';
import { teamName } from './models';
import { checkpointView, modelNameOf } from './views';

/** States of a job that are kept: of an unfinished one its checkpoints in the object store, of one that has succeeded what it published. */
@Injectable()
export class FineTuningCheckpoints {
  private readonly stored: Checkpoints;

  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(STORE) store: ObjectStore,
  ) {
    this.stored = new Checkpoints(store);
  }

  /** Newest first. Only what was published can be loaded as a model; a checkpoint is for its own job to go on from. */
  async list(teamId: string, job: Job): Promise<FineTuningCheckpoint[]> {
    const steps = isFinal(job.state) ? [] : await this.stored.list(job.id);
    return this.ports.unitOfWork.look(async ({ jobs, teams }) => {
      const team = await teamName({ teams }, teamId);
      const viewOf = async (step: number, model: string) => {
        const metrics = await jobs.metrics(job.id, { afterStep: step - 1, limit: 2 });
        const measured = metrics.filter((metric) => metric.step === step);
        return checkpointView(job, { step, model, metrics: measured });
      };
      if (job.version !== null)
        return [await viewOf(job.step, modelNameOf(team, { adapter: job.adapter, number: job.version }))];
      const views: FineTuningCheckpoint[] = [];
      // An attempt may have written a step that one before it had written too.
      for (const step of new Set(steps.map((one) => one.step)))
        views.push(await viewOf(step, `${team}/${job.adapter}@${job.id}-step-${step}`));
      return views;
    });
  }
}

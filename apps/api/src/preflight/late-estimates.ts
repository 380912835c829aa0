import { Logger } from '@nestjs/common';
import { type BaseModel, type Dataset } from '@lowrank/contracts';
import { completeEstimates, type Ports } from '@lowrank/domain';
import { setTimeout as sleep } from 'node:timers/promises';

/** From the count to the look for jobs: one whose submission was just tired of waiting is written by then. */
const usualDelayMs = 5_000;

/** Completes estimates of jobs whose submission did not wait until the tokens were counted, once they are. */
export class LateEstimates {
  private readonly logger = new Logger(LateEstimates.name);

  constructor(
    private readonly ports: Pick<Ports, 'unitOfWork' | 'clock' | 'planner'>,
    /** Aborted when the API closes. */
    private readonly signal: AbortSignal,
    private readonly delayMs = usualDelayMs,
  ) {}

  /** Never rejects: what is not completed is as it was. Resolves when the jobs on the dataset have been seen to. */
  async complete(baseModel: BaseModel, dataset: Dataset): Promise<void> {
    try {
      await sleep(this.delayMs, undefined, { signal: this.signal, ref: false });
      const jobs = await completeEstimates(this.ports, baseModel, dataset);
      if (jobs > 0)
        this.logger.log(`${dataset.filename} is counted: estimates of ${jobs} jobs are complete.`);
    } catch (error) {
      if (!this.signal.aborted)
        this.logger.warn(`Estimates on ${dataset.id} were not completed: ${(error as Error).message}`);
    }
  }
}

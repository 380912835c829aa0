import { Logger } from '@nestjs/common';
import { type DrainMode, type MachineUsage } from '@lowrank/contracts';
import { type SharedClock, type UnitOfWork, type WorkerFacts } from '@lowrank/domain';
import { messageOf, pause } from './retry';

/** Keeps the worker's own row fresh and its clock right, so that others see which workers there are; passes on whether it is to drain. */
export class Presence {
  private readonly logger = new Logger(Presence.name);
  private readonly leaving = new AbortController();
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly ports: { unitOfWork: UnitOfWork; clock: SharedClock },
    private readonly worker: Omit<WorkerFacts, 'seenAt' | 'usage' | 'operationsPerSecond'>,
    /** What of it changes. */
    private readonly now: () => { usage: MachineUsage; operationsPerSecond: number | null },
    /** What is known to be wrong with its device; null: nothing. */
    private readonly deviceProblem: () => string | null,
    private readonly intervalMs: number,
    private readonly onDrain: (mode: DrainMode | null) => void,
  ) {}

  start(): void {
    this.running = this.show();
  }

  /** Removes the row; if Postgres is away it goes stale instead. */
  async stop(): Promise<void> {
    this.leaving.abort();
    await this.running;
    await this.ports.unitOfWork
      .run(({ workers }) => workers.remove(this.worker.id))
      .catch((error) => this.logger.warn(`Could not remove the worker's row: ${error}`));
  }

  /** Drains the worker when its device is lost, whether a trainer has noticed or not: what runs goes on elsewhere. */
  private async failIfLost(): Promise<DrainMode | null> {
    const message = this.deviceProblem();
    if (message === null) return null;
    const { unitOfWork, clock } = this.ports;
    this.logger.error(`${message}. Worker ${this.worker.id} is drained.`);
    await unitOfWork.run(({ workers }) => workers.fail(this.worker.id, { message, at: clock.now() }));
    return 'checkpoint';
  }

  private async show(): Promise<void> {
    const { unitOfWork, clock } = this.ports;
    while (!this.leaving.signal.aborted) {
      try {
        await clock.adjust();
        const now = this.now();
        const { drain } = await unitOfWork.runLightly(({ workers }) =>
          workers.upsert({ ...this.worker, ...now, seenAt: clock.now() }),
        );
        this.onDrain(drain === 'checkpoint' ? drain : ((await this.failIfLost()) ?? drain));
      } catch (error) {
        this.logger.warn(`Could not write the worker's row: ${messageOf(error)}`);
      }
      await pause(this.intervalMs, this.leaving.signal);
    }
  }
}

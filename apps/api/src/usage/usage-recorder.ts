import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { type Actor, type Tokens } from '@lowrank/contracts';
import { type Ports, UsageBook } from '@lowrank/domain';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PORTS } from '../dependencies';

const writeEveryMs = 5000;
/** How often Postgres is tried when the process leaves. */
const lastTries = 3;

/** Counts what completions take, and writes it down every few seconds and when the process leaves. */
@Injectable()
export class UsageRecorder implements OnApplicationShutdown {
  private readonly book: UsageBook;
  private readonly logger = new Logger('Usage');
  private readonly open = new Set<Promise<void>>();
  private readonly timer: NodeJS.Timeout;

  constructor(@Inject(PORTS) ports: Ports) {
    this.book = new UsageBook(ports, randomUUID());
    this.timer = setInterval(() => {
      this.book
        .write()
        .catch((error: Error) => this.logger.warn(`Usage waits to be written: ${error.message}`));
    }, writeEveryMs);
    this.timer.unref();
  }

  /** Counts an answer when it has ended; null: its server did not say what it took. */
  count(of: { teamId: string; actor: Actor; model: string }, tokens: Promise<Tokens | null>): void {
    const counted = tokens.then((taken) => {
      // What was refused before anything was generated took nothing.
      if (taken !== null && taken.prompt > 0) this.book.add({ ...of, tokens: taken });
      if (taken === null) this.logger.warn(`A server did not say what an answer of ${of.model} took.`);
      this.open.delete(counted);
    });
    this.open.add(counted);
  }

  /** Tokens of a team that this process has counted and not written down yet. */
  unwritten(teamId: string): number {
    return this.book.unwritten(teamId);
  }

  /** Writes down what is not yet, answers that have ended included. */
  write(): Promise<void> {
    return this.book.write();
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all(this.open);
    for (let left = lastTries; left > 0; left -= 1) {
      try {
        return await this.book.write();
      } catch (error) {
        this.logger.error(`Usage was not written: ${(error as Error).message}`);
        if (left > 1) await sleep(1000);
      }
    }
  }
}

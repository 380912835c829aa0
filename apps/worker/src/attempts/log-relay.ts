import { type LogLevel } from '@lowrank/contracts';
import { type AttemptRef, type LogEntry, type Ports, reportLog } from '@lowrank/domain';
import { pause, persistently } from '../retry';
import { type Timings } from '../settings';

/** Lines that may wait for one write; a trainer that writes more meanwhile loses the rest. */
const mostWaiting = 1000;

/**
 * Writes what a trainer logs to Postgres, some lines at a time. Lines are no reports: they may be left out, and nothing about them ever
 * ends an attempt.
 */
export class LogRelay {
  private waiting: LogEntry[] = [];
  private leftOut = 0;
  private working: Promise<void> | null = null;
  private over = false;
  private hurry = new AbortController();

  constructor(
    private readonly ports: Pick<Ports, 'unitOfWork' | 'clock'>,
    private readonly attempt: AttemptRef,
    private readonly timings: Pick<Timings, 'logBatch' | 'reportPatience'>,
    private readonly onTrouble: (error: unknown) => void,
  ) {}

  push(level: LogLevel, message: string): void {
    if (this.over) return;
    if (this.waiting.length < mostWaiting) this.waiting.push({ at: this.ports.clock.now(), level, message });
    else this.leftOut += 1;
    this.working ??= this.work().finally(() => {
      this.working = null;
    });
  }

  /** Resolves when everything pushed so far is written or given up. */
  async settled(): Promise<void> {
    this.hurry.abort();
    await this.working;
    this.hurry = new AbortController();
  }

  private async work(): Promise<void> {
    while (!this.over && this.waiting.length > 0) {
      await pause(this.timings.logBatch, this.hurry.signal);
      const lines = this.take();
      try {
        const write = () => reportLog(this.ports, this.attempt, lines);
        this.over = !(await persistently(write, this.timings.reportPatience, this.onTrouble));
      } catch (error) {
        this.onTrouble(error);
      }
    }
  }

  private take(): LogEntry[] {
    const lines = this.waiting;
    this.waiting = [];
    if (this.leftOut > 0) {
      const message = `${this.leftOut} lines were left out: they came faster than lines are kept.`;
      lines.push({ at: this.ports.clock.now(), level: 'warn', message });
      this.leftOut = 0;
    }
    return lines;
  }
}

import { type Assignment, type FromTrainer, type JobMessage } from '@lowrank/contracts';
import { pause } from '../retry';
import { type Timings } from '../settings';
import { startTrainer, type TrainerExit, type TrainerProcess } from './trainer-process';

/** What a trainer tells one of its jobs. */
export interface SeatListeners {
  onMessage(message: JobMessage): void;
  /** A message that cannot be read: of which job nobody knows, so all are told. */
  onUnreadable(problem: string): void;
  /** A line that the process wrote, about whichever job. */
  onOutput(line: string, level: 'info' | 'warn'): void;
}

/** A job's part in a trainer. */
export interface Seat {
  /** How the process ended, or this job's part in it while it goes on for others; never rejects. */
  readonly exit: Promise<SeatExit>;
  stop(reason: 'cancel' | 'drain'): void;
  /** This job's checkpoint of a step, and every report before it, is written. */
  written(step: number): void;
  /** Nothing more comes about this job. If the process goes on for others its part ends here. */
  finish(): void;
  /** Ends the process; if it works for others too, only this job's part in it. */
  kill(): void;
}

export interface SeatExit extends TrainerExit {
  /** Why the worker killed the process, if it did so unasked. */
  killedFor?: string;
}

interface OpenSeat {
  assignment: Assignment;
  listeners: SeatListeners;
  /** A stop that was asked for before there was a process. */
  stopping: 'cancel' | 'drain' | null;
  leave(exit: SeatExit): void;
}

/** Of a job whose part in a process has ended before that. */
const leftBehind: SeatExit = { code: 0, signal: null, systemRanOut: false, stderr: [] };

export interface SharedTrainerOptions {
  /** Compiled main file of the trainer. */
  entry: string;
  env: NodeJS.ProcessEnv;
  timings: Pick<Timings, 'trainerSilence'>;
}

/** One trainer process and the jobs that it trains, each with a seat of its own: what becomes of one is nothing to the others. */
export class SharedTrainer {
  private readonly seats = new Map<string, OpenSeat>();
  private readonly over = new AbortController();
  private process: TrainerProcess | null = null;
  private killedFor: string | undefined;
  private heardAt = Date.now();

  constructor(private readonly options: SharedTrainerOptions) {}

  /** For a job, before `start`. */
  join(assignment: Assignment, listeners: SeatListeners): Seat {
    const { jobId } = assignment;
    let leave: OpenSeat['leave'] = () => undefined;
    const exit = new Promise<SeatExit>((resolve) => (leave = resolve));
    const seat: OpenSeat = { assignment, listeners, stopping: null, leave };
    this.seats.set(jobId, seat);
    return {
      exit,
      stop: (reason) => {
        seat.stopping = reason;
        this.process?.send({ type: 'stop', jobId, reason });
      },
      written: (step) => this.process?.send({ type: 'written', jobId, step }),
      finish: () => {
        if (this.seats.size > 1) this.leave(jobId);
      },
      kill: () => {
        if (!this.seats.has(jobId)) return;
        if (this.seats.size === 1) return this.process?.kill();
        this.process?.send({ type: 'stop', jobId, reason: 'cancel' });
        this.leave(jobId);
      },
    };
  }

  /** Forks the process for the jobs that have joined. */
  start(): void {
    this.heardAt = Date.now();
    const process = startTrainer(this.options.entry, this.options.env, {
      onMessage: (message) => this.hear(message),
      onUnreadable: (problem) => {
        this.heardAt = Date.now();
        for (const { listeners } of this.seats.values()) listeners.onUnreadable(problem);
      },
      onOutput: (line, level) => {
        for (const { listeners } of this.seats.values()) listeners.onOutput(line, level);
      },
    });
    this.process = process;
    const seats = [...this.seats.values()];
    process.send({ type: 'assign', assignments: seats.map(({ assignment }) => assignment) });
    for (const { assignment, stopping } of seats)
      if (stopping) process.send({ type: 'stop', jobId: assignment.jobId, reason: stopping });
    void this.listenForSilence();
    void process.exit.then((exit) => {
      this.over.abort();
      const { killedFor } = this;
      for (const jobId of [...this.seats.keys()]) this.leave(jobId, { ...exit, killedFor });
    });
  }

  private leave(jobId: string, exit = leftBehind): void {
    this.seats.get(jobId)?.leave(exit);
    this.seats.delete(jobId);
  }

  private hear(message: FromTrainer): void {
    this.heardAt = Date.now();
    if (message.type === 'job') this.seats.get(message.jobId)?.listeners.onMessage(message.message);
  }

  private async listenForSilence(): Promise<void> {
    const { trainerSilence } = this.options.timings;
    while (!this.over.signal.aborted) {
      const left = this.heardAt + trainerSilence - Date.now();
      if (left <= 0) {
        this.killedFor = `the trainer said nothing for ${trainerSilence / 1000} s and was killed.`;
        return this.process?.kill();
      }
      await pause(left, this.over.signal);
    }
  }
}

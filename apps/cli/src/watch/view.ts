import { type JobEvent } from '@lowrank/contracts';
import { MultiBar, type SingleBar } from 'cli-progress';
import { formatSeconds } from '../terminal';
import { type JobProgress } from './job-progress';

/** Shows a job's progress; `close` leaves the terminal as it found it. */
export interface ProgressView {
  update(progress: JobProgress): void;
  event(event: JobEvent): void;
  close(): void;
}

/** A bar on a terminal, lines elsewhere. */
export const makeView = (stream: NodeJS.WriteStream = process.stderr): ProgressView =>
  stream.isTTY ? new BarView(stream) : new LineView(stream);

/** `loss 1.234 · 5,200 tokens/s · 12 s left`, of what is known. */
export function describeProgress({ loss, tokensPerSecond, secondsLeft }: JobProgress): string {
  return [
    loss === null ? '' : `loss ${loss.toFixed(3)}`,
    tokensPerSecond === null ? '' : `${Math.round(tokensPerSecond).toLocaleString('en')} tokens/s`,
    secondsLeft === null ? '' : `${formatSeconds(secondsLeft)} left`,
  ]
    .filter(Boolean)
    .join(' · ');
}

class BarView implements ProgressView {
  private readonly bars: MultiBar;
  private bar: SingleBar | null = null;

  constructor(stream: NodeJS.WriteStream) {
    this.bars = new MultiBar({
      stream,
      format: '  {bar} step {value}/{total}  {detail}',
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 28,
      hideCursor: true,
      clearOnComplete: true,
    });
  }

  update(progress: JobProgress): void {
    const { totalSteps, step } = progress;
    if (totalSteps === null) return;
    this.bar ??= this.bars.create(totalSteps, step, { detail: '' });
    this.bar.setTotal(totalSteps);
    this.bar.update(step, { detail: describeProgress(progress) });
  }

  event(event: JobEvent): void {
    this.bars.log(`${formatEvent(event)}\n`);
    this.bars.update();
  }

  close(): void {
    this.bars.stop();
  }
}

/** At most one line of progress every few seconds, and one for the last step. */
class LineView implements ProgressView {
  private writtenAt = 0;
  private writtenStep = -1;

  constructor(
    private readonly stream: NodeJS.WritableStream,
    private readonly everyMs = 5000,
  ) {}

  update(progress: JobProgress): void {
    const { step, totalSteps } = progress;
    const due = Date.now() - this.writtenAt >= this.everyMs || step === totalSteps;
    if (totalSteps === null || progress.loss === null || step === this.writtenStep || !due) return;
    this.writtenAt = Date.now();
    this.writtenStep = step;
    this.stream.write(`  step ${step}/${totalSteps}  ${describeProgress(progress)}\n`);
  }

  event(event: JobEvent): void {
    this.stream.write(`${formatEvent(event)}\n`);
  }

  close(): void {}
}

/** A line for an event; checkpoints come with every few steps and are left out by the caller. */
export const formatEvent = ({ at, level, message }: JobEvent): string =>
  `  ${at.slice(11, 19)}  ${level === 'info' ? '' : `${level}: `}${message}`;

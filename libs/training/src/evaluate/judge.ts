import { LowrankError, type Measure } from '@lowrank/contracts';
import { once } from 'node:events';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type Question, type Verdict } from './judge-thread';

/** Longer answers are wrong, unread. */
const MOST_CHARACTERS = 65_536;
/**
 * What one answer may take by one measure, and how often that may be exceeded. Processor time of this process, which does nothing else meanwhile:
 * what an answer is worth must not depend on how busy the machine is.
 */
const MOST_MS = 1000;
const LOOK_MS = 50;
const MOST_TIMEOUTS = 3;
const HEAP_MEGABYTES = 256;

/**
 * Looks at answers in a thread of its own, with bounded memory and time and an environment without secrets: patterns and schemas are
 * somebody's, and answers anybody's, and together they may take any time. Schemas are interpreted; no code is made of them.
 */
export class Judge {
  private thread: Promise<Worker> | null = null;
  private readonly timeouts = new Map<number, number>();

  constructor(
    private readonly measures: readonly Measure[],
    private readonly mostMs = MOST_MS,
  ) {}

  /**
   * What is wrong with an answer by a measure; null: nothing. One question at a time.
   * Error: evaluation_failed when the measure cannot be used, or took too long for the third time.
   */
  async problemOf(question: Question): Promise<string | null> {
    if (question.answer.length > MOST_CHARACTERS) return `is longer than ${MOST_CHARACTERS} characters`;
    const worker = await (this.thread ??= this.start());
    const verdict = await this.ask(worker, question);
    if (verdict === null) return this.tookTooLong(question.measure);
    if ('problem' in verdict) return verdict.problem;
    throw new LowrankError('evaluation_failed', `${this.nameOf(question.measure)}: ${verdict.failed}`);
  }

  async close(): Promise<void> {
    const { thread } = this;
    this.thread = null;
    await (await thread)?.terminate();
  }

  private async start(): Promise<Worker> {
    const worker = new Worker(join(__dirname, `judge-thread${extname(__filename)}`), {
      workerData: this.measures,
      env: { NODE_OPTIONS: process.env['NODE_OPTIONS'] },
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MEGABYTES },
    });
    await once(worker, 'message');
    return worker;
  }

  /** null: there was no answer in time. */
  private async ask(worker: Worker, question: Question): Promise<Verdict | null> {
    const over = new AbortController();
    const heard = once(worker, 'message', { signal: over.signal }).then(([verdict]) => verdict as Verdict);
    const started = process.cpuUsage();
    const late = (async () => {
      for (;;) {
        await sleep(LOOK_MS, undefined, { signal: over.signal });
        const { user, system } = process.cpuUsage(started);
        if (user + system > 1000 * this.mostMs) return null;
      }
    })();
    try {
      worker.postMessage(question);
      return await Promise.race([heard, late]);
    } catch (error) {
      // It ran out of memory, most likely.
      this.thread = null;
      return { failed: error instanceof Error ? error.message : String(error) };
    } finally {
      over.abort();
      await Promise.allSettled([heard, late]);
    }
  }

  private async tookTooLong(measure: number): Promise<string> {
    await this.close();
    const count = (this.timeouts.get(measure) ?? 0) + 1;
    this.timeouts.set(measure, count);
    if (count >= MOST_TIMEOUTS)
      throw new LowrankError(
        'evaluation_failed',
        `${this.nameOf(measure)} took longer than ${this.mostMs} ms for ${count} answers`,
      );
    return `could not be judged within ${this.mostMs} ms`;
  }

  private nameOf(measure: number): string {
    return `measure ${measure + 1} (${this.measures[measure]?.metric})`;
  }
}

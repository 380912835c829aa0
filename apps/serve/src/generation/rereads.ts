import { type ServeTarget } from '@lowrank/contracts';
import { setImmediate } from 'node:timers/promises';
import { type Models } from '../models/models';
import { type Text } from './batch';
import { type Turns } from './turns';

/** Of answers that wait; the newest is the likeliest to go on. */
const mostWaiting = 16;

type Waiting = Omit<Text, 'adapter'> & { target: ServeTarget };

/**
 * Takes answers through their models again while nobody is being answered, so that the next turn of a conversation finds the pages of the
 * last with the bytes that it would compute. Models are held from step to step only: what is closed meanwhile is left.
 */
export class Rereads {
  private waiting: Waiting[] = [];
  private running: Promise<void> | null = null;

  constructor(
    private readonly models: Models,
    private readonly turns: Turns,
  ) {}

  /** An answer has come to its end. */
  add(text: Waiting): void {
    this.waiting = [...this.waiting, text].slice(-mostWaiting);
  }

  /** Begins, or goes on, where it may. */
  go(): void {
    this.running ??= this.run().finally(() => (this.running = null));
  }

  /** Resolves when no model is held any more. */
  async close(): Promise<void> {
    this.waiting = [];
    await this.running;
  }

  private async run(): Promise<void> {
    // Whoever has just been answered may ask again at once.
    await setImmediate();
    for (
      let text = this.waiting.at(-1);
      text !== undefined && this.turns.load.running === 0;
      text = this.waiting.at(-1)
    ) {
      const of = text;
      // It was of no use to anybody yet: what fails is left.
      const isMore = await this.step(of).catch(() => false);
      if (!isMore) this.waiting = this.waiting.filter((other) => other !== of);
      await setImmediate();
    }
  }

  private async step({ target, ...text }: Waiting): Promise<boolean> {
    const held = await this.models.holdLoaded(target);
    if (held === null) return false;
    try {
      const { batch, adapter } = held.value;
      return await batch.reread({ ...text, adapter });
    } finally {
      held.release();
    }
  }
}

import { type ChatMessage } from '@lowrank/contracts';
import { type Sampling } from '@lowrank/kernels';
import { note, paint } from '../terminal';
import { type LocalModel } from './local-model';

export interface ConversationOptions {
  system?: string;
  sampling: Sampling;
  maxTokens: number;
  /** Also show what the bare base says. */
  compare: boolean;
  /** Gets the answers' text as it comes. */
  write: (text: string) => void;
}

/** One conversation: every question goes in with all that was said before. */
export class Conversation {
  compare: boolean;
  private messages: ChatMessage[] = [];
  private turns = 0;

  constructor(
    private readonly model: LocalModel,
    private readonly options: ConversationOptions,
  ) {
    this.compare = options.compare;
    this.reset();
  }

  reset(): void {
    const { system } = this.options;
    this.messages = system === undefined ? [] : [{ role: 'system', content: system }];
  }

  /** Writes the answer, of the base too when comparing; an abort ends it early. The conversation goes on from the adapter's. */
  async ask(question: string, signal: AbortSignal): Promise<void> {
    const { adapter } = this.model;
    this.messages.push({ role: 'user', content: question });
    if (this.compare && adapter !== null) {
      await this.say('base', null, signal);
      if (signal.aborted) return;
    }
    const answer = await this.say(this.compare && adapter !== null ? 'adapter' : null, adapter, signal);
    this.messages.push({ role: 'assistant', content: answer });
    this.turns += 1;
  }

  private async say(
    label: 'base' | 'adapter' | null,
    adapter: LocalModel['adapter'],
    signal: AbortSignal,
  ): Promise<string> {
    const { sampling, maxTokens, write } = this.options;
    if (label) write(paint(label === 'base' ? 'yellow' : 'green', `${label.padEnd(8)}`));
    const { text, reason } = await this.model.answer(this.messages, {
      adapter,
      // Another draw for every turn, the same ones for the same conversation.
      sampling: { ...sampling, seed: sampling.seed + BigInt(this.turns) },
      maxTokens,
      signal,
      onText: write,
    });
    write('\n');
    if (reason === 'length')
      note(paint('dim', `(cut off after ${maxTokens} tokens or at the end of the context)`));
    return text;
  }
}

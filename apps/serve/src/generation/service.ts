import { type FinishReason, type ServeRequest, type ServeTarget } from '@lowrank/contracts';
import { answerOf, type Choice, Chunks, type Completion, headOf, usageOf } from '../http/answers';
import { type Models } from '../models/models';
import { type CallParser, type Said } from '../tools/call-parser';
import { callId, collected, parserOf } from '../tools/tools';
import { type Generated, type Piece, type Scoped } from './generate';
import { type Meter } from './meter';
import { type Rereads } from './rereads';
import { choiceCount, echoOf, formed, logprobsOf, promptOf } from './request';
import { type Turns } from './turns';

/** Answers requests: a turn, the model, the prompt, and the text as OpenAI's clients want it. */
export class Service {
  /** `rereads` null: answers are not taken through the model again. */
  constructor(
    private readonly models: Models,
    private readonly turns: Turns,
    private readonly rereads: Rereads | null,
  ) {}

  /** When nobody is answered any more. */
  async close(): Promise<void> {
    await this.rereads?.close();
  }

  /** Loads what a request would need, and keeps it as if one had. Errors: those of Models. */
  async prefetch(target: ServeTarget): Promise<void> {
    (await this.models.hold(target)).release();
  }

  /** `meter` counts what it takes, also when it fails. Errors: those of Turns, Models and generate. */
  async answer({ teamId, target, completion }: ServeRequest, signal: AbortSignal, meter: Meter) {
    return this.withModel(teamId, target, signal, meter, async (model) => {
      const prompt = promptOf(completion, model.tokenizer);
      const choices: Choice[] = [];
      let completionTokens = 0;
      let cachedTokens = 0;
      for (let index = 0; index < choiceCount(completion); index += 1) {
        const generation = formed(model, completion, { prompt, index, signal, meter });
        const whole: Piece = { text: echoOf(completion), draws: [], offsets: [] };
        let step = await generation.next();
        for (; !step.done; step = await generation.next()) {
          whole.text += step.value.text;
          whole.draws.push(...step.value.draws);
          whole.offsets.push(...step.value.offsets);
        }
        completionTokens += step.value.tokens;
        this.remember(completion, target, teamId, step.value);
        if (index === 0) cachedTokens = step.value.cachedTokens;
        const parser = parserOf(completion, model.tokenizer);
        const said = parser === null ? null : collected([...parser.push(whole.text), ...parser.end()]);
        choices.push({
          text: said?.text ?? whole.text,
          calls: said?.calls ?? [],
          logprobs: logprobsOf(completion, model.tokenizer, whole),
          reason: reasonOf(step.value, parser),
        });
      }
      return answerOf(
        completion.kind,
        headOf(completion),
        choices,
        usageOf(prompt.length, completionTokens, cachedTokens),
      );
    });
  }

  /**
   * The same as server-sent events. `begin` is called before the first, once nothing but the generation itself can fail; what fails
   * before that is thrown.
   */
  async stream(
    { teamId, target, completion }: ServeRequest,
    signal: AbortSignal,
    meter: Meter,
    begin: () => (event: string) => Promise<void>,
  ): Promise<void> {
    await this.withModel(teamId, target, signal, meter, async (model) => {
      const prompt = promptOf(completion, model.tokenizer);
      const chunks = new Chunks(completion.kind, headOf(completion), completion.body);
      let send: ((event: string) => Promise<void>) | null = null;
      let completionTokens = 0;
      let cachedTokens = 0;
      for (let index = 0; index < choiceCount(completion); index += 1) {
        const generation = formed(model, completion, { prompt, index, signal, meter });
        let step: IteratorResult<Piece, Generated> = await generation.next();
        send ??= begin();
        await send(chunks.begin(index));
        const echo = echoOf(completion);
        if (echo !== '') await send(chunks.text(index, echo, null));
        const parser = parserOf(completion, model.tokenizer);
        const tell = async (said: readonly Said[]) => {
          for (const one of said) await send?.(eventOf(chunks, index, one));
        };
        for (; !step.done; step = await generation.next())
          if (parser !== null) await tell(parser.push(step.value.text));
          else
            await send(
              chunks.text(index, step.value.text, logprobsOf(completion, model.tokenizer, step.value)),
            );
        if (parser !== null) await tell(parser.end());
        completionTokens += step.value.tokens;
        this.remember(completion, target, teamId, step.value);
        if (index === 0) cachedTokens = step.value.cachedTokens;
        await send(chunks.finish(index, reasonOf(step.value, parser)));
      }
      await send?.(chunks.end(usageOf(prompt.length, completionTokens, cachedTokens)));
    });
  }

  /** A conversation goes on with what was said. */
  private remember({ kind }: Completion, target: ServeTarget, scope: string, { text }: Generated): void {
    if (kind === 'chat') this.rereads?.add({ target, scope, tokens: text });
  }

  private async withModel<T>(
    teamId: string,
    target: ServeTarget,
    signal: AbortSignal,
    meter: Meter,
    work: (model: Scoped) => Promise<T>,
  ): Promise<T> {
    const endTurn = await this.turns.take(teamId, signal);
    meter.turnCame();
    try {
      const held = await this.models.hold(target);
      try {
        return await work({ ...held.value, scope: teamId });
      } finally {
        held.release();
      }
    } finally {
      endTurn();
      this.rereads?.go();
    }
  }
}

/** An answer that has called functions and is whole has ended by that. */
const reasonOf = ({ reason }: Generated, parser: CallParser | null): FinishReason =>
  reason === 'stop' && (parser?.count ?? 0) > 0 ? 'tool_calls' : reason;

function eventOf(chunks: Chunks, index: number, said: Said): string {
  if (said.kind === 'text') return chunks.text(index, said.text, null);
  const more =
    said.kind === 'call'
      ? { id: callId(), type: 'function', function: { name: said.name, arguments: '' } }
      : { function: { arguments: said.text } };
  return chunks.calls(index, [{ index: said.index, ...more }]);
}

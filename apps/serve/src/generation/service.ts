import { type ServeRequest, type ServeTarget } from '@lowrank/contracts';
import { answerOf, type Choice, Chunks, headOf, usageOf } from '../http/answers';
import { type Models } from '../models/models';
import { type Generated, type Piece, type Scoped } from './generate';
import { type Meter } from './meter';
import { choiceCount, echoOf, formed, logprobsOf, promptOf } from './request';
import { type Turns } from './turns';

/** Answers requests: a turn, the model, the prompt, and the text as OpenAI's clients want it. */
export class Service {
  constructor(
    private readonly models: Models,
    private readonly turns: Turns,
  ) {}

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
        if (index === 0) cachedTokens = step.value.cachedTokens;
        choices.push({
          text: whole.text,
          logprobs: logprobsOf(completion, model.tokenizer, whole),
          reason: step.value.reason,
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
        for (; !step.done; step = await generation.next())
          await send(
            chunks.text(index, step.value.text, logprobsOf(completion, model.tokenizer, step.value)),
          );
        completionTokens += step.value.tokens;
        if (index === 0) cachedTokens = step.value.cachedTokens;
        await send(chunks.finish(index, step.value.reason));
      }
      await send?.(chunks.end(usageOf(prompt.length, completionTokens, cachedTokens)));
    });
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
    }
  }
}

import { type Actor, type Tokens } from '@lowrank/contracts';
import { type Ports } from '../ports';
import { type CountedUsage } from '../ports/usage';

/** Completions that had the same team, day, actor and model are counted together. */
const keyOf = ({ teamId, day, actor, model }: Omit<CountedUsage, 'requests' | 'tokens'>): string =>
  JSON.stringify([teamId, day, actor.type, actor.id, model]);

/**
 * Counts tokens of completions in memory and writes them down from time to time, as sums since it began: a write that may or may not have
 * happened is made good by the next. `writer` is a name that no other book has, in no other process either.
 */
export class UsageBook {
  private readonly counted = new Map<string, CountedUsage & { written: number }>();
  /** Tokens of prompts and answers by team that are not in the store yet. */
  private readonly pending = new Map<string, number>();
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly ports: Pick<Ports, 'unitOfWork' | 'clock'>,
    private readonly writer: string,
  ) {}

  add({
    teamId,
    actor,
    model,
    tokens,
  }: {
    teamId: string;
    actor: Actor;
    model: string;
    tokens: Tokens;
  }): void {
    const day = this.ports.clock.now().slice(0, 10);
    const key = keyOf({ teamId, day, actor, model });
    this.pending.set(teamId, this.unwritten(teamId) + tokens.prompt + tokens.completion);
    const known = this.counted.get(key);
    const { requests, tokens: before } = known ?? {
      requests: 0,
      tokens: { prompt: 0, cached: 0, completion: 0 },
    };
    this.counted.set(key, {
      ...{ teamId, day, actor, model, requests: requests + 1, written: known?.written ?? 0 },
      tokens: {
        prompt: before.prompt + tokens.prompt,
        cached: before.cached + tokens.cached,
        completion: before.completion + tokens.completion,
      },
    });
  }

  /** Tokens of prompts and answers that were counted and are not written down yet. */
  unwritten(teamId: string): number {
    return this.pending.get(teamId) ?? 0;
  }

  /** Writes down what is not yet. Errors: those of the unit of work; then it is written the next time. */
  write(): Promise<void> {
    this.writing = this.writing.catch(() => undefined).then(() => this.writeNow());
    return this.writing;
  }

  private async writeNow(): Promise<void> {
    const news = [...this.counted].filter(([, { requests, written }]) => requests > written);
    const written = [...this.pending];
    if (news.length > 0)
      await this.ports.unitOfWork.acrossTeams.run(({ usage }) =>
        usage.put(
          this.writer,
          news.map(([, counted]) => counted),
        ),
      );
    for (const [teamId, tokens] of written) {
      const left = this.unwritten(teamId) - tokens;
      if (left === 0) this.pending.delete(teamId);
      else this.pending.set(teamId, left);
    }
    for (const [key, { requests }] of news) {
      const now = this.counted.get(key);
      if (now !== undefined) this.counted.set(key, { ...now, written: requests });
    }
    // Nothing is added to a day that is over.
    const today = this.ports.clock.now().slice(0, 10);
    for (const [key, { day, requests, written: before }] of this.counted)
      if (day < today && requests === before) this.counted.delete(key);
  }
}

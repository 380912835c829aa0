import {
  KernelError,
  type Adapter,
  type Base,
  type Loss,
  type PackedBatch,
  type Preference,
  type PreferenceLoss,
  type Rows,
  type StepOptions,
} from '@lowrank/kernels';

/** What a call is about. */
interface Work {
  batch: PackedBatch;
  rows: Rows[];
  /** One for each entry of rows, or none at all. */
  preferences: Preference[];
}

/** A call of one member. Those of one kind differ in nothing but what they are about, and can become one call of the kernels. */
interface Call extends Work {
  member: Member;
  kind: string;
  signal?: AbortSignal;
  /** The kernels' call for this kind. Resolves to one result for each entry of rows. */
  run(work: Work, signal?: AbortSignal): Promise<unknown[]>;
}

interface WaitingCall extends Call {
  resolve(results: unknown[]): void;
  reject(error: unknown): void;
  /** Its signal no longer takes it out of those that wait. */
  leave(): void;
}

interface Member {
  /** Whether others wait for its next call. */
  expected: boolean;
}

/** Shortest time that a call waits for those of others, milliseconds: more than what lies between two steps of a small model. */
const leastPatienceMs = 20;

/**
 * A base that several jobs train on at the same time. Each has from `join` a base of its own, which it uses as if it were alone; what
 * they ask for at the same time becomes one call of the kernels, which gives each the bytes that it gets alone. A call waits for the
 * members that are expected to make one, as long as the last call took: waiting longer would cost more than going without. Who has not
 * come by then is expected again when it has, so that one that writes a checkpoint holds the others up once, and members may come,
 * stop, fail and leave in any order.
 */
export class TogetherBase {
  private readonly members = new Set<Member>();
  private readonly waiting = new Set<WaitingCall>();
  private busy = false;
  private timer: NodeJS.Timeout | null = null;
  private patienceMs = leastPatienceMs;
  /** Most tokens in one call: less than what once was too much for the machine's memory. */
  private mostTokens = Infinity;

  constructor(private readonly base: Base) {}

  /** A new member's base. Closing it is leaving; the base behind it is closed by whoever opened it. */
  join(): Base {
    const { base } = this;
    const member: Member = { expected: false };
    this.members.add(member);
    const kindOf = (name: string, { checkpointActivations = true }: StepOptions) =>
      checkpointActivations ? `${name} with checkpoints` : name;
    return {
      info: base.info,
      createAdapter: (spec) => base.createAdapter(spec),
      trainStep: (batch, rows, options = {}) =>
        this.call<Loss>({
          ...{ member, batch, rows, preferences: [], signal: options.signal },
          kind: kindOf('train', options),
          run: (work, signal) => base.trainStep(work.batch, work.rows, { ...options, signal }),
        }),
      evalStep: (batch, rows, { signal } = {}) =>
        this.call<Loss>({
          ...{ member, batch, rows, preferences: [], signal, kind: 'evaluate' },
          run: (work, stop) => base.evalStep(work.batch, work.rows, { signal: stop }),
        }),
      preferenceStep: (batch, rows, preferences, options = {}) =>
        this.call<PreferenceLoss>({
          ...{ member, batch, rows, preferences, signal: options.signal },
          kind: kindOf('prefer', options),
          run: (work, signal) =>
            base.preferenceStep(work.batch, work.rows, work.preferences, { ...options, signal }),
        }),
      preferenceEval: (batch, rows, preferences, { signal } = {}) =>
        this.call<PreferenceLoss>({
          ...{ member, batch, rows, preferences, signal, kind: 'evaluate preferences' },
          run: (work, stop) => base.preferenceEval(work.batch, work.rows, work.preferences, { signal: stop }),
        }),
      sequenceLogps: (batch, rows, options) => base.sequenceLogps(batch, rows, options),
      logits: (batch, rows, into) => base.logits(batch, rows, into),
      openCache: (options) => base.openCache(options),
      openSession: (options) => base.openSession(options),
      close: () => {
        this.members.delete(member);
        this.consider();
      },
    };
  }

  private call<Result>(call: Call): Promise<Result[]> {
    const { member, signal } = call;
    return new Promise<unknown[]>((resolve, reject) => {
      const giveUp = (): void => {
        this.waiting.delete(waiting);
        reject(new KernelError('cancelled', 'cancelled by the caller', 'lr_train_step'));
        this.consider();
      };
      const leave = (): void => signal?.removeEventListener('abort', giveUp);
      const waiting: WaitingCall = { ...call, resolve, reject, leave };
      if (signal?.aborted) return giveUp();
      signal?.addEventListener('abort', giveUp, { once: true });
      member.expected = true;
      this.waiting.add(waiting);
      this.consider();
    }) as Promise<Result[]>;
  }

  /** Departs when everybody expected has come, else once the patience is over. */
  private consider(): void {
    if (this.busy) return;
    const here = new Set([...this.waiting].map(({ member }) => member));
    if (here.size > 0 && [...this.members].some((member) => member.expected && !here.has(member))) {
      this.timer ??= setTimeout(() => void this.depart(), this.patienceMs);
      return;
    }
    this.stopTimer();
    if (here.size > 0) void this.depart();
  }

  private stopTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private async depart(): Promise<void> {
    this.stopTimer();
    const calls = [...this.waiting];
    this.waiting.clear();
    const here = new Set(calls.map(({ member }) => member));
    for (const member of this.members) member.expected = here.has(member);
    this.busy = true;
    const started = performance.now();
    for (const call of calls) call.leave();
    for (const group of groupsOf(calls, this.mostTokens)) await this.runTogether(group);
    this.patienceMs = Math.max(leastPatienceMs, performance.now() - started);
    this.busy = false;
    this.consider();
  }

  /** One call of the kernels for all. What fails for several is done again for fewer, so that each has its own failure only. */
  private async runTogether(calls: WaitingCall[]): Promise<void> {
    const [first] = calls;
    if (first === undefined) return;
    const stop = stopOfAll(calls.map(({ signal }) => signal));
    try {
      const results = await first.run(merged(calls), stop.signal);
      let at = 0;
      for (const { rows, resolve } of calls) resolve(results.slice(at, (at += rows.length)));
    } catch (error) {
      if (calls.length === 1 || stop.signal?.aborted) return calls.forEach(({ reject }) => reject(error));
      if (error instanceof KernelError && error.status === 'out_of_memory')
        this.mostTokens = Math.ceil(tokensOf(calls) / 2);
      const again = calls.filter((call) => {
        const lost = call.rows.some(({ adapter }) => adapter !== null && isSpoilt(adapter));
        if (lost) call.reject(error);
        return !lost;
      });
      const half = Math.ceil(again.length / 2);
      for (const part of [again.slice(0, half), again.slice(half)]) await this.runTogether(part);
    } finally {
      stop.forget();
    }
  }
}

const tokensOf = (calls: readonly Work[]): number =>
  calls.reduce((sum, { batch }) => sum + batch.tokens.length, 0);

/** Calls of one kind together, in the order they came, as far as `mostTokens` allows. */
function groupsOf(calls: readonly WaitingCall[], mostTokens: number): WaitingCall[][] {
  const groups: WaitingCall[][] = [];
  for (const call of calls) {
    const group = groups.find(
      (other) => other[0]?.kind === call.kind && tokensOf([...other, call]) <= mostTokens,
    );
    if (group) group.push(call);
    else groups.push([call]);
  }
  return groups;
}

/** The calls' batches one after the other, and their rows where they then lie. */
function merged(calls: readonly Work[]): Work {
  if (calls.length === 1) return calls[0] as Work;
  const total = tokensOf(calls);
  const batch = { tokens: new Int32Array(total), targets: new Int32Array(total) };
  const starts: number[] = [];
  const rows: Rows[] = [];
  let at = 0;
  for (const call of calls) {
    const from = at;
    batch.tokens.set(call.batch.tokens, from);
    batch.targets.set(call.batch.targets, from);
    for (const start of call.batch.starts.subarray(0, -1)) starts.push(from + start);
    for (const row of call.rows) rows.push({ ...row, begin: from + row.begin, end: from + row.end });
    at += call.batch.tokens.length;
  }
  const preferences = calls.flatMap((call) => call.preferences);
  return { batch: { ...batch, starts: Int32Array.from([...starts, total]) }, rows, preferences };
}

/** A signal that is aborted when all of them are; none when one of them is missing, since that call is never stopped. */
function stopOfAll(signals: readonly (AbortSignal | undefined)[]): { signal?: AbortSignal; forget(): void } {
  if (signals.includes(undefined)) return { forget: () => undefined };
  const all = new AbortController();
  const check = (): void => {
    if (signals.every((signal) => signal?.aborted)) all.abort();
  };
  for (const signal of signals) signal?.addEventListener('abort', check);
  check();
  return {
    signal: all.signal,
    forget: () => signals.forEach((signal) => signal?.removeEventListener('abort', check)),
  };
}

/** Whether a call that failed has left a part of itself in the gradients, which the library marks by making the first of them NaN. */
const isSpoilt = (adapter: Adapter): boolean => Number.isNaN(adapter.read(0, 'gradient')[0]);

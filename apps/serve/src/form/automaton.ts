import { all, intersection, type Range } from './characters';
import { type PatternState } from './node';
import { type Look, type Regex, RegexError } from './regex';

/* Regular expressions as automata over characters (Thompson 1968; Rabin & Scott 1959), without states from which no text can end. */

/** Of the automaton that is being made, of what is made of it, and of what is made of several. */
const mostParts = 20_000;
const mostStates = 4_000;
const mostCommon = 20_000;

interface Part {
  /** Where it leads without a character. */
  free: number[];
  edges: { low: number; high: number; to: number }[];
}

class Parts {
  readonly parts: Part[] = [];

  add(): number {
    if (this.parts.length >= mostParts) throw new RegexError('is larger than this server takes');
    return this.parts.push({ free: [], edges: [] }) - 1;
  }

  /** Builds what leads from one part to another by a text of an expression. */
  build(regex: Regex, from: number, to: number): void {
    switch (regex.kind) {
      case 'characters':
        for (const [low, high] of intersection(all, regex.set)) this.part(from).edges.push({ low, high, to });
        return;
      case 'sequence': {
        let at = from;
        for (const part of regex.parts) {
          const next = this.add();
          this.build(part, at, next);
          at = next;
        }
        this.part(at).free.push(to);
        return;
      }
      case 'choice':
        for (const option of regex.options) this.build(option, from, to);
        return;
      case 'repeat': {
        const { of, min, max } = regex;
        let at = from;
        const once = () => {
          const next = this.add();
          this.build(of, at, next);
          at = next;
        };
        for (let i = 0; i < min; i += 1) once();
        if (max === Infinity) {
          const loop = this.add();
          this.part(at).free.push(loop);
          at = loop;
          once();
          this.part(at).free.push(loop);
          at = loop;
        } else
          for (let i = min; i < max; i += 1) {
            this.part(at).free.push(to);
            once();
          }
        this.part(at).free.push(to);
      }
    }
  }

  part(index: number): Part {
    return this.parts[index] as Part;
  }

  /** All that is reached without a character. */
  closure(from: Iterable<number>): number[] {
    const reached = new Set(from);
    for (const at of reached) for (const next of this.part(at).free) reached.add(next);
    return [...reached].sort((a, b) => a - b);
  }
}

interface State {
  accepts: boolean;
  /** In order. */
  edges: { low: number; high: number; to: number }[];
}
/** Texts, or all others. */
export interface Held {
  states: readonly { readonly accepts: boolean; readonly edges: PatternState['edges'] }[];
  negated: boolean;
}

/** Numbers states by their keys as they come; `expand` makes each from what it is of. */
function explore<T>(
  start: T,
  most: number,
  keyOf: (of: T) => string,
  expand: (of: T, go: (to: T) => number) => State,
): State[] {
  const numbers = new Map<string, number>();
  const queue: T[] = [];
  const go = (to: T): number => {
    const key = keyOf(to);
    const known = numbers.get(key);
    if (known !== undefined) return known;
    if (numbers.size >= most) throw new RegexError('is larger than this server takes');
    numbers.set(key, numbers.size);
    queue.push(to);
    return numbers.size - 1;
  };
  go(start);
  const states: State[] = [];
  for (const of of queue) states.push(expand(of, go));
  return states;
}

/** Ranges within which all characters are on the same edges. */
const pieces = (ranges: readonly { low: number; high: number }[]): Range[] => {
  const cuts = [...new Set(ranges.flatMap(({ low, high }) => [low, high + 1]))].sort((a, b) => a - b);
  return cuts.slice(0, -1).map((low, i) => [low, (cuts[i + 1] as number) - 1]);
};

function determined(regex: Regex): State[] {
  const parts = new Parts();
  const [from, to] = [parts.add(), parts.add()];
  parts.build(regex, from, to);
  return explore(
    parts.closure([from]),
    mostStates,
    (set) => set.join(),
    (set, go) => {
      const edges = set.flatMap((at) => parts.part(at).edges);
      const split = pieces(edges).flatMap(([low, high]) => {
        const targets = edges.filter((edge) => edge.low <= low && edge.high >= low).map((edge) => edge.to);
        return targets.length === 0 ? [] : [{ low, high, to: go(parts.closure(targets)) }];
      });
      return { accepts: set.includes(to), edges: split };
    },
  );
}

/** The texts that an expression is of, as far as what it looks ahead for is, or is not, at their beginning. */
export const heldBy = (looks: readonly Look[]): Held[] =>
  looks.map(({ regex, negated }) => ({ states: determined(regex), negated }));

/** These texts. */
export function heldTo(texts: readonly string[]): Held {
  const states: State[] = [{ accepts: false, edges: [] }];
  for (const text of [...texts].sort()) {
    let at = 0;
    for (const character of text) {
      const point = character.codePointAt(0) as number;
      const { edges } = states[at] as State;
      const known = edges.find(({ low }) => low === point);
      if (known === undefined) {
        edges.push({ low: point, high: point, to: states.length });
        edges.sort((a, b) => a.low - b.low);
        states.push({ accepts: false, edges: [] });
      }
      at = known?.to ?? states.length - 1;
    }
    (states[at] as State).accepts = true;
  }
  return { states, negated: false };
}

/** Whether a text is one of those. */
export function isHeld({ states, negated }: Held, text: string): boolean {
  let at: number | undefined = 0;
  for (const character of text) {
    const point = character.codePointAt(0) as number;
    at = states[at]?.edges.find(({ low, high }) => low <= point && high >= point)?.to;
    if (at === undefined) break;
  }
  return (at !== undefined && states[at]?.accepts === true) !== negated;
}

/** Where a state that has left an automaton is. */
const outside = -1;

/** The texts that are of all, with at least `min` and at most `max` characters. */
function common(held: readonly Held[], min: number, max: number): Held['states'] {
  const [only] = held;
  if (only?.negated === false && held.length === 1 && min === 0 && max === Infinity) return only.states;
  const most = max === Infinity ? min : max;
  return explore(
    { at: held.map(() => 0), count: 0 },
    mostCommon,
    ({ at, count }) => `${at.join()} ${count}`,
    ({ at, count }, go) => {
      const accepts = held.every(
        ({ states, negated }, i) => (states[at[i] as number]?.accepts === true) !== negated,
      );
      if (max !== Infinity && count >= max) return { accepts: accepts && count >= min, edges: [] };
      const ways = held.map(({ states }, i) => states[at[i] as number]?.edges ?? []);
      const passed = held.map(() => 0);
      const characters = all.map(([low, high]) => ({ low, high }));
      const edges: State['edges'] = [];
      for (const [low, high] of pieces([...ways.flat(), ...characters])) {
        if (!all.some(([from, to]) => from <= low && to >= high)) continue;
        const next = ways.map((way, i) => {
          while ((way[passed[i] as number]?.high ?? Infinity) < low) passed[i] = (passed[i] as number) + 1;
          const edge = way[passed[i] as number];
          return edge !== undefined && edge.low <= low ? edge.to : outside;
        });
        if (next.some((to, i) => to === outside && held[i]?.negated === false)) continue;
        const to = go({ at: next, count: Math.min(count + 1, most) });
        const last = edges.at(-1);
        if (last !== undefined && last.to === to && last.high === low - 1) last.high = high;
        else edges.push({ low, high, to });
      }
      return { accepts: accepts && count >= min, edges };
    },
  );
}

/**
 * The texts that are of all of these, with at least `min` and at most `max` characters, where there are any. Each state leads on to some such text.
 * Error: RegexError where it is too large.
 */
export function automatonOf(held: readonly Held[], min: number, max: number): PatternState[] | null {
  const states = common(held, min, max);
  const sources = states.map((): number[] => []);
  states.forEach(({ edges }, from) => edges.forEach(({ to }) => sources[to]?.push(from)));
  const alive = new Set(states.flatMap(({ accepts }, i) => (accepts ? [i] : [])));
  for (const at of alive) for (const from of sources[at] ?? []) alive.add(from);
  if (!alive.has(0)) return null;
  return states.map(({ accepts, edges }, from) => {
    const kept = edges.filter(({ to }) => alive.has(to));
    const isFree = kept.length === all.length && kept.every(({ to }) => to === from);
    return {
      accepts,
      edges: kept,
      isFree: isFree && kept.every(({ low, high }, i) => low === all[i]?.[0] && high === all[i]?.[1]),
    };
  });
}

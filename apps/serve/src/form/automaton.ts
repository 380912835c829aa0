import { all, intersection } from './characters';
import { type PatternState } from './node';
import { type Regex, RegexError } from './regex';

/* Regular expressions as automata over characters (Thompson 1968; Rabin & Scott 1959), without states from which no text can end. */

/** Of the automaton that is being made, and of what is made of it. */
const mostParts = 20_000;
const mostStates = 4_000;

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
  edges: { low: number; high: number; to: number }[];
}

/** Numbers states by their keys as they come; `expand` makes each from what it is of. */
function explore<T>(
  start: T,
  keyOf: (of: T) => string,
  expand: (of: T, go: (to: T) => number) => State,
): State[] {
  const numbers = new Map<string, number>();
  const queue: T[] = [];
  const go = (to: T): number => {
    const key = keyOf(to);
    const known = numbers.get(key);
    if (known !== undefined) return known;
    if (numbers.size >= mostStates) throw new RegexError('is larger than this server takes');
    numbers.set(key, numbers.size);
    queue.push(to);
    return numbers.size - 1;
  };
  go(start);
  const states: State[] = [];
  for (const of of queue) states.push(expand(of, go));
  return states;
}

function determined(regex: Regex): State[] {
  const parts = new Parts();
  const [from, to] = [parts.add(), parts.add()];
  parts.build(regex, from, to);
  return explore(
    parts.closure([from]),
    (set) => set.join(),
    (set, go) => {
      const edges = set.flatMap((at) => parts.part(at).edges);
      // Between two of these all characters lead to the same.
      const cuts = [...new Set(edges.flatMap(({ low, high }) => [low, high + 1]))].sort((a, b) => a - b);
      const split = cuts.slice(0, -1).flatMap((low, i) => {
        const targets = edges.filter((edge) => edge.low <= low && edge.high >= low).map((edge) => edge.to);
        const high = (cuts[i + 1] as number) - 1;
        return targets.length === 0 ? [] : [{ low, high, to: go(parts.closure(targets)) }];
      });
      return { accepts: set.includes(to), edges: split };
    },
  );
}

/** The same texts, of at least `min` and at most `max` characters. */
function counted(states: readonly State[], min: number, max: number): State[] {
  if (min === 0 && max === Infinity) return [...states];
  const most = max === Infinity ? min : max;
  return explore(
    { state: 0, count: 0 },
    ({ state, count }) => `${state} ${count}`,
    ({ state, count }, go) => {
      const { accepts, edges } = states[state] as State;
      const isLast = max !== Infinity && count >= max;
      const next = Math.min(count + 1, most);
      return {
        accepts: accepts && count >= min,
        edges: isLast ? [] : edges.map((edge) => ({ ...edge, to: go({ state: edge.to, count: next }) })),
      };
    },
  );
}

/**
 * The texts of an expression that have at least `min` and at most `max` characters. Each state leads on to some such text. Errors: RegexError where there
 * is none, or it is too large.
 */
export function automatonOf(regex: Regex, min: number, max: number): PatternState[] {
  const states = counted(determined(regex), min, max);
  const sources = states.map((): number[] => []);
  states.forEach(({ edges }, from) => edges.forEach(({ to }) => sources[to]?.push(from)));
  const alive = new Set(states.flatMap(({ accepts }, i) => (accepts ? [i] : [])));
  for (const at of alive) for (const from of sources[at] ?? []) alive.add(from);
  if (!alive.has(0)) throw new RegexError('is of no string');
  return states.map(({ accepts, edges }) => ({ accepts, edges: edges.filter(({ to }) => alive.has(to)) }));
}

import { isSpace } from './bytes';
import { ByteTrie, type ArrayNode, type Node, type ObjectNode } from './node';
import { stepScalar, Text } from './scalars';

/*
 * JSON (RFC 8259) of a form, byte by byte: a nondeterministic pushdown automaton. A frame is a state with what comes after it; a position is all
 * frames that the bytes so far may have led to. Steps are remembered, so that what is seen again costs a look.
 */

/** White space in a row, between two parts of a value. More is of no use, and a model that has lost its way would go on for ever. */
const mostSpace = 40;
/** Containers in each other. */
export const mostDepth = 96;
/** Ways to understand what has come that are followed further. Each goes on to a value of the form, so that the rest is not needed. */
const mostFrames = 128;
/** Frames that are remembered. */
const mostRemembered = 100_000;

export interface Frame {
  readonly id: number;
  readonly node: Node;
  /** Of the node's kind: one of the phases below. */
  readonly phase: number;
  /** Characters, items, the next property, or an integer so far. */
  readonly count: number;
  /** White space so far, or how the character's next byte is limited. */
  readonly sub: number;
  /** Properties so far, where they are counted. */
  readonly size: number;
  readonly trie: ByteTrie | null;
  /** What comes when this value is whole; null: nothing. */
  readonly parent: Frame | null;
  readonly depth: number;
}

export interface Position {
  readonly frames: readonly Frame[];
  /** Whether what has come is a whole value. */
  readonly whole: boolean;
  readonly next: Map<number, Position | null>;
  /** Set by who computes it: tokens that may come next. */
  mask: Uint32Array | null;
}

enum Container {
  Start,
  Opened,
  After,
  Comma,
  Key,
  Colon,
  Value,
}

const char = (text: string): number => text.charCodeAt(0);
const [quote, comma, colon] = [...'",:'].map(char) as [number, number, number];
type State = Pick<Frame, 'node' | 'phase'> & Partial<Pick<Frame, 'count' | 'sub' | 'size' | 'trie'>>;

export class Machine {
  readonly start: Position;
  private readonly frames = new Map<string, Frame>();
  private readonly positions = new Map<string, Position>();
  private readonly names = new Map<string, ByteTrie>();
  /** What is left of values that come once each, after one of them. */
  private readonly left = new Map<string, ByteTrie>();
  private made = 0;

  constructor(root: Node) {
    const out = new Set<Frame | null>();
    this.enter(root, null, out);
    this.start = this.position(out);
  }

  /** Where a byte leads; null: nowhere. */
  step(position: Position, byte: number): Position | null {
    const known = position.next.get(byte);
    if (known !== undefined) return known;
    const out = new Set<Frame | null>();
    for (const frame of position.frames) this.take(frame, byte, out);
    const next = out.size === 0 ? null : this.position(out);
    position.next.set(byte, next);
    return next;
  }

  /** Where bytes lead from the start; null: nowhere. */
  follow(bytes: Uint8Array): Position | null {
    let at: Position | null = this.start;
    for (const byte of bytes) at = at && this.step(at, byte);
    return at;
  }

  private position(out: ReadonlySet<Frame | null>): Position {
    const whole = out.has(null);
    const frames = [...out].filter((frame) => frame !== null).slice(0, mostFrames);
    const key = `${whole} ${frames.map(({ id }) => id).join()}`;
    const known = this.positions.get(key);
    if (known !== undefined) return known;
    const position = { frames, whole, next: new Map(), mask: null };
    this.positions.set(key, position);
    return position;
  }

  /** The same frame for the same state, until there are too many to remember. */
  private frame(
    { node, phase, count = 0, sub = 0, size = 0, trie = null }: State,
    parent: Frame | null,
  ): Frame {
    const key = `${node.id} ${phase} ${count} ${sub} ${size} ${trie?.id ?? ''} ${parent?.id ?? ''}`;
    const known = this.frames.get(key);
    if (known !== undefined) return known;
    if (this.frames.size >= mostRemembered) {
      this.frames.clear();
      this.positions.clear();
      this.names.clear();
      this.left.clear();
    }
    const depth = (parent?.depth ?? 0) + 1;
    const frame = { id: (this.made += 1), node, phase, count, sub, size, trie, parent, depth };
    this.frames.set(key, frame);
    return frame;
  }

  /** Adds the beginnings of a node, where a value of it fits into the depth that is left. */
  private enter(node: Node, parent: Frame | null, out: Set<Frame | null>, seen = new Set<Node>()): void {
    if (seen.has(node) || (parent?.depth ?? 0) + node.height > mostDepth) return;
    seen.add(node);
    if (node.kind === 'union') for (const option of node.options) this.enter(option, parent, out, seen);
    else if (node.kind === 'link') this.enter(node.to as Node, parent, out, seen);
    else {
      const trie = node.kind === 'literal' ? node.texts : node.kind === 'array' ? node.once : null;
      out.add(this.frame({ node, phase: 0, trie }, parent));
    }
  }

  private take(frame: Frame, byte: number, out: Set<Frame | null>): void {
    switch (frame.node.kind) {
      case 'literal':
        return this.literal(frame, byte, out);
      case 'string':
      case 'pattern':
      case 'number':
      case 'decimal':
        return void stepScalar(frame.node, frame, byte, {
          to: (state) => out.add(this.to(frame, state)),
          end: () => out.add(frame.parent),
        });
      case 'array':
        return this.array(frame, frame.node, byte, out);
      case 'object':
        return this.object(frame, frame.node, byte, out);
      case 'union':
      case 'link':
        throw new Error('no frame is of a union or a link');
    }
  }

  /** The same frame in another state. */
  private to(frame: Frame, state: Partial<State>): Frame {
    const { node, phase, count, sub, size, trie, parent } = frame;
    return this.frame({ node, phase, count, sub, size, trie, ...state }, parent);
  }

  private literal(frame: Frame, byte: number, out: Set<Frame | null>): void {
    const trie = (frame.trie as ByteTrie).next.get(byte);
    if (trie === undefined) return;
    if (trie.value !== undefined) out.add(this.without(frame.parent, trie.value));
    if (trie.next.size > 0) out.add(this.to(frame, { trie }));
  }

  /** An array after an item that stands for a value: where each comes once, the others are left. */
  private without(array: Frame | null, value: number): Frame | null {
    if (array?.node.kind !== 'array' || array.node.once === null) return array;
    const trie = array.trie as ByteTrie;
    const key = `${trie.id} ${value}`;
    const left = this.left.get(key) ?? trie.without(value);
    this.left.set(key, left);
    return this.to(array, { trie: left });
  }

  private array(frame: Frame, node: ArrayNode, byte: number, out: Set<Frame | null>): void {
    const { phase, count, sub, trie } = frame;
    const { prefix, items, min, max } = node;
    const at = (next: Container, rest: Partial<State> = {}) =>
      this.to(frame, { phase: next, sub: 0, ...rest });
    const next = prefix[count] ?? items;
    const item = () => {
      if (count >= max) return;
      // How many there are is of interest as long as it makes a difference.
      const most = max === Infinity ? Math.max(min, prefix.length, 1) : max;
      const after = at(Container.After, { count: Math.min(count + 1, most) });
      if (trie === null) this.enter(next, after, out);
      else if (this.fits(next, frame)) out.add(this.frame({ node: next, phase: 0, trie }, after));
    };
    if (phase === Container.Start) {
      if (byte !== char('[')) return;
      out.add(at(Container.Opened));
      item();
    } else if (isSpace(byte)) {
      if (sub >= mostSpace) return;
      out.add(at(phase, { sub: sub + 1 }));
      if (phase !== Container.After) item();
    } else if (byte === char(']')) {
      if (count >= min && phase !== Container.Comma) out.add(frame.parent);
    } else if (byte === comma && phase === Container.After && count < max && this.fits(next, frame)) {
      out.add(at(Container.Comma));
      item();
    }
  }

  /** Whether a value of a node has room in a container. */
  private fits(node: Node, container: Frame): boolean {
    return container.depth + node.height <= mostDepth;
  }

  /** The names, with quotes, that may come next in an object: of values that have room, and after which there can be as many as there are to be. null: none. */
  private keys(frame: Frame, node: ObjectNode): ByteTrie | null {
    const { id, properties, min, max } = node;
    const { count, depth, size } = frame;
    const last = properties.findIndex(({ required }, i) => i >= count && required);
    const candidates = properties.slice(count, last < 0 ? properties.length : last + 1);
    const rest = properties.slice(count);
    const allFit = rest.every(({ value }) => this.fits(value, frame));
    const key = `${id} ${count} ${size} ${allFit && this.others(frame, node).length === node.others.length ? '' : depth}`;
    let names = this.names.get(key);
    if (names === undefined) {
      this.names.set(key, (names = new ByteTrie()));
      for (const [i, { name, value }] of candidates.entries()) {
        if (!this.fits(value, frame)) continue;
        const after = rest.slice(i + 1);
        const most = after.filter((property) => this.fits(property.value, frame)).length;
        const possible = most + Math.min(1, this.others(frame, node).length);
        const needed = after.filter(({ required }) => required).length;
        if (size + 1 + possible >= min && size + 1 + needed <= max)
          names.add(JSON.stringify(name), count + i);
      }
    }
    return names.next.size > 0 ? names : null;
  }

  /** Which of the others have room, by their index. */
  private others(frame: Frame, { others }: ObjectNode): number[] {
    return others.flatMap(({ value }, i) => (this.fits(value, frame) ? [i] : []));
  }

  private object(frame: Frame, node: ObjectNode, byte: number, out: Set<Frame | null>): void {
    const { phase, count, sub, size, trie } = frame;
    const { properties, min, max } = node;
    const at = (to: Container, rest: Partial<State> = {}) =>
      this.to(frame, { phase: to, sub: 0, trie: null, ...rest });
    const value = () => {
      const of = properties[count] ?? node.others[count - properties.length];
      const more = min > 0 || max !== Infinity ? Math.min(size + 1, max === Infinity ? min : max) : 0;
      const after = at(Container.After, { count: Math.min(count + 1, properties.length), size: more });
      this.enter((of as { value: Node }).value, after, out);
    };
    const keys = () => this.keys(frame, node);
    // Others may have one name several times: only the first of them counts for sure.
    const others = () =>
      properties.slice(count).some(({ required }) => required) || size + 1 < min || size >= max
        ? []
        : this.others(frame, node);
    switch (phase) {
      case Container.Start:
        if (byte === char('{')) out.add(at(Container.Opened));
        return;
      case Container.Opened:
      case Container.After:
      case Container.Comma:
        if (isSpace(byte)) {
          if (sub < mostSpace) out.add(at(phase, { sub: sub + 1 }));
        } else if (byte === char('}')) {
          const isWhole = size >= min && !properties.slice(count).some(({ required }) => required);
          if (phase !== Container.Comma && isWhole) out.add(frame.parent);
        } else if (phase === Container.After) {
          if (byte === comma && (keys() !== null || others().length > 0)) out.add(at(Container.Comma));
        } else if (byte === quote) {
          const named = keys()?.next.get(quote);
          if (named !== undefined) out.add(at(Container.Key, { trie: named }));
          for (const i of others()) {
            const { name } = node.others[i] as ObjectNode['others'][number];
            const after = at(Container.Colon, { count: properties.length + i });
            out.add(this.frame({ node: name, phase: Text.Body }, after));
          }
        }
        return;
      case Container.Key: {
        const named = (trie as ByteTrie).next.get(byte);
        if (named === undefined) return;
        if (named.value !== undefined) out.add(at(Container.Colon, { count: named.value }));
        if (named.next.size > 0) out.add(at(Container.Key, { trie: named }));
        return;
      }
      case Container.Colon:
        if (byte !== colon) return;
        out.add(at(Container.Value));
        value();
        return;
      default:
        if (!isSpace(byte) || sub >= mostSpace) return;
        out.add(at(Container.Value, { sub: sub + 1 }));
        value();
    }
  }
}

/** Whether a text is a whole value. */
export const takes = (machine: Machine, text: string): boolean =>
  machine.follow(Buffer.from(text))?.whole === true;

/** Characters that the strings of a frame still take, whatever they are, but for quotes and backslashes; 0 where it is in none. */
export function freeCharacters({ node, phase, count }: Frame): number {
  if (phase !== Text.Body) return 0;
  if (node.kind === 'string') return node.max - count;
  return node.kind === 'pattern' && node.states[count]?.isFree === true ? Infinity : 0;
}

/**
 * What a JSON value may be, as machine.ts follows it byte by byte. A node is compiled once (compile.ts) and may hold itself, by links.
 */
export type Node =
  | LiteralNode
  | StringNode
  | PatternNode
  | NumberNode
  | DecimalNode
  | ArrayNode
  | ObjectNode
  | UnionNode
  | LinkNode;

interface Common {
  /** Different for each node of a form. */
  readonly id: number;
  /** Containers in each other that the smallest such value has; Infinity: there is none. */
  height: number;
}

/** One of these texts, as bytes. */
export interface LiteralNode extends Common {
  readonly kind: 'literal';
  readonly texts: ByteTrie;
}
/** Length in characters; `max` may be Infinity. */
export interface StringNode extends Common {
  readonly kind: 'string';
  readonly min: number;
  readonly max: number;
}
/** A state of an automaton over characters, from which some text that it accepts can be reached. */
export interface PatternState {
  readonly accepts: boolean;
  /** Where characters lead, both ends included; they do not overlap. */
  readonly edges: readonly { readonly low: number; readonly high: number; readonly to: number }[];
  /** Whether whatever comes leads to this state again. */
  readonly isFree: boolean;
}
/** A string that an automaton accepts, which begins in state 0. */
export interface PatternNode extends Common {
  readonly kind: 'pattern';
  readonly states: readonly PatternState[];
}
export interface NumberNode extends Common {
  readonly kind: 'number';
}
/** A multiple of `step` from `low` to `high`, which are some too, in units of 10^−places. */
export interface DecimalNode extends Common {
  readonly kind: 'decimal';
  readonly low: bigint;
  readonly high: bigint;
  readonly step: bigint;
  readonly places: number;
}
export interface ArrayNode extends Common {
  readonly kind: 'array';
  /** The first items, and all after them. */
  readonly prefix: readonly Node[];
  readonly items: Node;
  readonly min: number;
  readonly max: number;
  /** What items are of where each may come once only; null: they may come again. */
  readonly once: ByteTrie | null;
}
export interface Property {
  readonly name: string;
  readonly required: boolean;
  readonly value: Node;
}
/** Properties come in this order, those not required or not, and after them others, whose names are of one of `others` at most, and not of these. */
export interface ObjectNode extends Common {
  readonly kind: 'object';
  readonly properties: readonly Property[];
  readonly others: readonly { readonly name: PatternNode; readonly value: Node }[];
  /** Properties that there are to be. `min` is one more than `properties` at most: others may have the same name. */
  readonly min: number;
  readonly max: number;
}
export interface UnionNode extends Common {
  readonly kind: 'union';
  readonly options: readonly Node[];
}
/** What a $ref names; set when all is compiled. */
export interface LinkNode extends Common {
  readonly kind: 'link';
  to: Node | null;
}

/** Texts by their bytes. */
export class ByteTrie {
  private static made = 0;
  readonly id = (ByteTrie.made += 1);
  readonly next = new Map<number, ByteTrie>();
  /** What the text that ends here stands for; undefined: none does. */
  value: number | undefined;

  add(text: string, value: number): void {
    const end = Buffer.from(text).reduce<ByteTrie>((at, byte) => at.child(byte), this);
    end.value ??= value;
  }

  /** The same texts but those that stand for a value. */
  without(value: number): ByteTrie {
    const rest = new ByteTrie();
    if (this.value !== value) rest.value = this.value;
    for (const [byte, child] of this.next) {
      const left = child.without(value);
      if (left.value !== undefined || left.next.size > 0) rest.next.set(byte, left);
    }
    return rest;
  }

  private child(byte: number): ByteTrie {
    const known = this.next.get(byte);
    if (known !== undefined) return known;
    const made = new ByteTrie();
    this.next.set(byte, made);
    return made;
  }
}

/**
 * What a JSON value may be, as machine.ts follows it byte by byte. A node is compiled once (compile.ts) and may hold itself, by links.
 */
export type Node =
  | LiteralNode
  | StringNode
  | PatternNode
  | IntegerNode
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
}
/** A string that an automaton accepts, which begins in state 0. */
export interface PatternNode extends Common {
  readonly kind: 'pattern';
  readonly states: readonly PatternState[];
}
/** Both are safe integers, and possible ends. */
export interface IntegerNode extends Common {
  readonly kind: 'integer';
  readonly min: number;
  readonly max: number;
}
export interface NumberNode extends Common {
  readonly kind: 'number';
}
/** A number from `low` to `high` in units of 10^−places. */
export interface DecimalNode extends Common {
  readonly kind: 'decimal';
  readonly low: bigint;
  readonly high: bigint;
  readonly places: number;
}
export interface ArrayNode extends Common {
  readonly kind: 'array';
  readonly items: Node;
  readonly min: number;
  readonly max: number;
}
export interface Property {
  readonly name: string;
  readonly required: boolean;
  readonly value: Node;
}
/** Properties come in this order, those not required or not, and after them others where `additional` says what they are. */
export interface ObjectNode extends Common {
  readonly kind: 'object';
  readonly properties: readonly Property[];
  readonly additional: Node | null;
  /** The names, without quotes: what no additional property may be called. */
  readonly names: ByteTrie;
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

  private child(byte: number): ByteTrie {
    const known = this.next.get(byte);
    if (known !== undefined) return known;
    const made = new ByteTrie();
    this.next.set(byte, made);
    return made;
  }
}

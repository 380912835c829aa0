import { isDeepStrictEqual } from 'node:util';
import { areApart } from './apart';
import { compileArray } from './arrays';
import { measure } from './heights';
import { Machine, mostDepth, takes } from './machine';
import { ByteTrie, type LinkNode, type LiteralNode, type Node } from './node';
import { compileNumber } from './numbers';
import { compileObject } from './objects';
import {
  essentials,
  isObject,
  isOfType,
  limitsIn,
  type Part,
  refuse,
  said,
  type Schema,
  type Type,
  types,
  typesOf,
} from './schema';
import { compileString } from './texts';

/** Of a schema: nodes, and alternatives in one place. */
const mostNodes = 5000;
const mostOptions = 64;
/** How deep a schema is written; what it refers to may be deeper, and itself. */
const mostNesting = 32;

type Bare<N> = N extends Node ? Omit<N, 'id' | 'height'> : never;

/** A part that says one thing: what another schema says, that one of several is fulfilled, or what values of each type are like. */
type Atom =
  | { kind: 'ref'; ref: string; path: string }
  | { kind: 'choice'; options: readonly Part[]; path: string }
  | ({ kind: 'plain' } & Part);

export class Compiler {
  private made = 0;
  private readonly links = new Map<string, LinkNode>();
  private readonly pending: { link: LinkNode; part: Part }[] = [];
  private readonly nodes: Node[] = [];
  private any: Node | null = null;

  constructor(
    private readonly root: Schema,
    private readonly path: string,
  ) {}

  /** A form of the values that fulfil all parts. */
  compile(parts: readonly Part[] = [{ schema: this.root, path: this.path }]): Node {
    const root = this.node(parts, 0);
    for (let next = this.pending.shift(); next !== undefined; next = this.pending.shift())
      next.link.to = this.node([next.part], 0);
    measure(this.nodes);
    return root;
  }

  add<N extends Node>(node: Bare<N>, path: string): N {
    if (this.made >= mostNodes) refuse(path, `is more than this server takes: ${mostNodes} parts`);
    const whole = { ...node, id: (this.made += 1), height: Infinity } as unknown as N;
    this.nodes.push(whole);
    return whole;
  }

  /** A value that fulfils all parts; of none, any. */
  node(parts: readonly Part[], nesting: number): Node {
    return this.all(this.atoms(parts, nesting), nesting);
  }

  /** Parts without references and choices; where there are choices, they are refused. */
  resolved(parts: readonly Part[], nesting: number): Part[] {
    if (nesting > mostNesting) refuse(this.path, `is nested deeper than ${mostNesting} schemas`);
    return this.atoms(parts, nesting).flatMap((atom) => {
      if (atom.kind === 'plain') return [atom];
      if (atom.kind === 'choice') refuse(atom.path, 'is not supported here');
      return this.resolved([this.target(atom)], nesting + 1);
    });
  }

  /** The values that parts name; null: they name none. */
  named(parts: readonly Part[]): unknown[] | null {
    const lists = parts.flatMap((part) =>
      said([part], 'enum')
        .map(({ value, path }) =>
          Array.isArray(value) && value.length > 0
            ? (value as unknown[])
            : refuse(path, 'must be a list of values'),
        )
        .concat(said([part], 'const').map(({ value }) => [value])),
    );
    const [first, ...rest] = lists;
    const isIn = (list: readonly unknown[], value: unknown) =>
      list.some((other) => isDeepStrictEqual(other, value));
    return first?.filter((value) => rest.every((list) => isIn(list, value))) ?? null;
  }

  union(options: readonly Node[], path: string): Node {
    if (options.length > mostOptions) refuse(path, `has more than ${mostOptions} alternatives`);
    return options.length === 1 ? (options[0] as Node) : this.add({ kind: 'union', options }, path);
  }

  /** Any JSON value. */
  private anyValue(): Node {
    if (this.any !== null) return this.any;
    const link = this.add<LinkNode>({ kind: 'link', to: null }, this.path);
    this.any = link;
    link.to = this.union(
      types.filter((type) => type !== 'integer').map((type) => this.typed(type, [], this.path, 0)),
      this.path,
    );
    return link;
  }

  private all(atoms: readonly Atom[], nesting: number): Node {
    const [only] = atoms;
    if (only === undefined) return this.anyValue();
    // What stands alone is a link, so that a schema may refer to itself.
    if (only.kind === 'ref' && atoms.length === 1) return this.link(only);
    if (nesting > mostNesting) refuse(only.path, `is nested deeper than ${mostNesting} schemas`);
    const instead = (of: Atom, parts: readonly Part[]) =>
      this.all(
        atoms.flatMap((atom) => (atom === of ? this.atoms(parts, nesting + 1) : [atom])),
        nesting + 1,
      );
    const ref = atoms.find((atom) => atom.kind === 'ref');
    if (ref !== undefined) return instead(ref, [this.target(ref)]);
    const choice = atoms.find((atom) => atom.kind === 'choice');
    if (choice === undefined) return this.plain(atoms as readonly Part[], nesting);
    return this.union(
      choice.options.map((option) => instead(choice, [option])),
      choice.path,
    );
  }

  private atoms(parts: readonly Part[], nesting: number): Atom[] {
    return parts.flatMap((part) => this.atomsOf(part, nesting));
  }

  private atomsOf(part: Part, nesting: number): Atom[] {
    const { schema, path } = part as { schema: unknown; path: string };
    if (schema === true) return [];
    if (schema === false) return [{ kind: 'choice', options: [], path }];
    if (!isObject(schema)) refuse(path, 'must be an object');
    if (nesting > mostNesting) refuse(path, `is nested deeper than ${mostNesting} schemas`);
    const { $ref, anyOf, oneOf, allOf, nullable, ...plain } = essentials({ schema, path });
    if (nullable === true) {
      const options = [{ ...schema, nullable: false }, { type: 'null' }].map((option) => ({
        schema: option,
        path,
      }));
      return [{ kind: 'choice', options, path }];
    }
    const atoms: Atom[] = [];
    if ($ref !== undefined)
      atoms.push({ kind: 'ref', ref: refOf($ref, `${path}.$ref`), path: `${path}.$ref` });
    for (const [keyword, value] of Object.entries({ anyOf, oneOf })) {
      if (value === undefined) continue;
      const at = `${path}.${keyword}`;
      const options = listed(value, at);
      if (keyword === 'oneOf') this.assertApart(options, at);
      atoms.push({ kind: 'choice', options, path: at });
    }
    if (allOf !== undefined) atoms.push(...this.atoms(listed(allOf, `${path}.allOf`), nesting + 1));
    if (Object.keys(plain).length > 0) atoms.push({ kind: 'plain', schema: plain, path });
    return atoms;
  }

  /** A value of parts that neither refer nor choose. */
  private plain(parts: readonly Part[], nesting: number): Node {
    const { path } = parts[0] as Part;
    const asked = typesOf(parts);
    const values = this.named(parts);
    if (values !== null) return this.literal(this.fitting(values, parts, asked), path);
    return this.union(
      (asked ?? types).map((type) => this.typed(type, parts, path, nesting)),
      path,
    );
  }

  /** Of the values that parts name, those that they allow. */
  fitting(values: readonly unknown[], parts: readonly Part[], asked: Type[] | null): unknown[] {
    const keyword = said(parts, 'enum')[0] ?? said(parts, 'const')[0];
    let fitting = values.filter((value) => asked === null || asked.some((type) => isOfType(value, type)));
    if (parts.some((part) => limitsIn(part).length > 0)) {
      const rest = parts.map(({ schema: { enum: _enum, const: _const, ...schema }, path }) => ({
        schema,
        path,
      }));
      const machine = new Machine(new Compiler(this.root, this.path).compile(rest));
      fitting = fitting.filter((value) => takes(machine, JSON.stringify(value)));
    }
    if (fitting.length === 0) refuse(keyword?.path ?? this.path, 'has no value that the rest allows');
    return fitting;
  }

  literal(values: readonly unknown[], path: string): LiteralNode {
    const texts = new ByteTrie();
    values.forEach((value, i) => texts.add(JSON.stringify(value), i));
    return this.add({ kind: 'literal', texts }, path);
  }

  /** A value that several of them took would be one of none. */
  private assertApart(options: readonly Part[], path: string): void {
    const told = options.map(({ schema }) => this.lookedUp(schema));
    for (const [i, one] of told.entries())
      for (const other of told.slice(0, i))
        if (!areApart(one, other))
          refuse(
            `${path}.${i}`,
            'is not told from another by its type, or by const or enum, its own or that of a property which both require',
          );
  }

  /** What a schema refers to, and what its properties do. */
  private lookedUp(schema: unknown): Schema {
    let at = schema;
    for (let steps = 0; isObject(at) && typeof at['$ref'] === 'string' && steps < mostNesting; steps += 1)
      at = this.lookUp(at['$ref']);
    if (!isObject(at)) return {};
    const { properties } = at;
    if (!isObject(properties)) return at;
    const inside = Object.entries(properties).map(([name, value]) => [
      name,
      isObject(value) && value['$ref'] !== undefined ? this.lookedUp(value) : value,
    ]);
    return { ...at, properties: Object.fromEntries(inside) as Schema };
  }

  private link({ ref, path }: { ref: string; path: string }): Node {
    const known = this.links.get(ref);
    if (known !== undefined) return known;
    const part = this.target({ ref, path });
    const link = this.add<LinkNode>({ kind: 'link', to: null }, path);
    this.links.set(ref, link);
    this.pending.push({ link, part });
    return link;
  }

  private target({ ref, path }: { ref: string; path: string }): Part {
    const schema = this.lookUp(ref);
    if (schema === undefined) refuse(path, `leads nowhere: ${ref}`);
    return { schema: schema as Schema, path: `${this.path}${ref.slice(1).replaceAll('/', '.')}` };
  }

  private lookUp(ref: string): unknown {
    let at: unknown = this.root;
    for (const part of ref.split('/').slice(1)) {
      const name = decoded(part).replaceAll('~1', '/').replaceAll('~0', '~');
      at =
        isObject(at) && Object.hasOwn(at, name)
          ? at[name]
          : Array.isArray(at)
            ? (at as unknown[])[Number(name)]
            : undefined;
    }
    return at;
  }

  private typed(type: Type, parts: readonly Part[], path: string, nesting: number): Node {
    switch (type) {
      case 'null':
        return this.literal([null], path);
      case 'boolean':
        return this.literal([true, false], path);
      case 'string':
        return compileString(this, parts, path);
      case 'integer':
      case 'number':
        return compileNumber(this, parts, path, type === 'integer');
      case 'array':
        return compileArray(this, parts, path, nesting);
      case 'object':
        return compileObject(this, parts, path, nesting);
    }
  }
}

function listed(value: unknown, path: string): Part[] {
  if (!Array.isArray(value) || value.length === 0) refuse(path, 'must be a list of schemas');
  return value.map((schema: Schema, i) => ({ schema, path: `${path}.${i}` }));
}

function refOf(ref: unknown, path: string): string {
  if (typeof ref !== 'string' || !/^#(\/|$)/.test(ref))
    refuse(path, 'must lead into the schema itself: #/$defs/…');
  return ref;
}

/** A part of a reference, which a URI has percent-encoded; what is no such thing names nothing. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * A JSON schema (draft 2020-12, as far as docs/serving.md lists it) as a form. `path`: where it stands in the request. Takes time and memory by
 * the size of what is written, not of what it allows. Error: validation_failed, naming the part that is not supported.
 */
export function compileSchema(schema: Schema, path: string): Node {
  const root = new Compiler(schema, path).compile();
  if (root.height > mostDepth)
    refuse(path, root.height === Infinity ? 'has no value that ends' : `is deeper than ${mostDepth} values`);
  return root;
}

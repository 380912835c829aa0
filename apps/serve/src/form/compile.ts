import { LowrankError } from '@lowrank/contracts';
import { areApart } from './apart';
import { automatonOf } from './automaton';
import { decimalLimits } from './decimal';
import { formats } from './formats';
import { mostDepth } from './machine';
import { parsePattern, RegexError } from './regex';
import { ByteTrie, type LinkNode, type Node, type Property } from './node';

/** Of a schema: nodes, and alternatives in one place. */
const mostNodes = 5000;
const mostOptions = 64;
/** How deep a schema is written; what it refers to may be deeper, and itself. */
const mostNesting = 32;
/** Integers of 15 digits are exact in every JSON parser. */
const largest = 10 ** 15 - 1;

type Schema = Record<string, unknown>;
type Bare<N> = N extends Node ? Omit<N, 'id' | 'height'> : never;
type Type = (typeof types)[number];

const types = ['string', 'number', 'integer', 'boolean', 'null', 'array', 'object'] as const;
/** Say nothing about values. */
const annotations = new Set(
  [
    'title',
    'description',
    'default',
    'examples',
    'deprecated',
    'readOnly',
    'writeOnly',
    '$schema',
    '$id',
    '$comment',
    'discriminator',
  ].concat(['$defs', 'definitions']),
);
/** What each constrains; it has no effect on values of other types. */
const keywords: Record<string, readonly Type[]> = {
  ...{ properties: ['object'], required: ['object'], additionalProperties: ['object'] },
  ...{ items: ['array'], minItems: ['array'], maxItems: ['array'] },
  ...{ minLength: ['string'], maxLength: ['string'], pattern: ['string'], format: ['string'] },
  ...{ minimum: ['integer', 'number'], maximum: ['integer', 'number'] },
  ...{ exclusiveMinimum: ['integer', 'number'], exclusiveMaximum: ['integer', 'number'] },
};
const limits = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'] as const;
const combining = ['anyOf', 'oneOf', 'allOf', '$ref', 'enum', 'const', 'type', 'nullable'];

const isObject = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `path` of a schema's part, as in the request. */
function refuse(path: string, message: string): never {
  throw new LowrankError('validation_failed', `The schema cannot be served: ${path} ${message}.`, [
    { path, message },
  ]);
}

class Compiler {
  private made = 0;
  private readonly links = new Map<string, LinkNode>();
  private readonly pending: { link: LinkNode; schema: unknown; path: string }[] = [];
  private readonly objects: Node[] = [];
  private any: Node | null = null;

  constructor(
    private readonly root: Schema,
    private readonly path: string,
  ) {}

  compile(): Node {
    const root = this.node(this.root, this.path, 0);
    for (let next = this.pending.shift(); next !== undefined; next = this.pending.shift())
      next.link.to = this.node(next.schema, next.path, 0);
    this.measure();
    if (root.height > mostDepth)
      refuse(
        this.path,
        root.height === Infinity ? 'has no value that ends' : `is deeper than ${mostDepth} values`,
      );
    return root;
  }

  /** Any JSON value. */
  anyValue(): Node {
    if (this.any !== null) return this.any;
    const link = this.add<LinkNode>({ kind: 'link', to: null }, this.path);
    this.any = link;
    link.to = this.union(
      types.filter((type) => type !== 'integer').map((type) => this.typed(type, {}, this.path, 0)),
      this.path,
    );
    return link;
  }

  private add<N extends Node>(node: Bare<N>, path: string): N {
    if (this.made >= mostNodes) refuse(path, `is more than this server takes: ${mostNodes} parts`);
    const whole = { ...node, id: (this.made += 1), height: Infinity } as unknown as N;
    this.objects.push(whole);
    return whole;
  }

  private node(schema: unknown, path: string, nesting: number): Node {
    if (schema === true) return this.anyValue();
    if (!isObject(schema)) refuse(path, 'must be an object');
    if (nesting > mostNesting) refuse(path, `is nested deeper than ${mostNesting} schemas`);
    for (const keyword of Object.keys(schema))
      if (!annotations.has(keyword) && !combining.includes(keyword) && keywords[keyword] === undefined)
        refuse(`${path}.${keyword}`, 'is a keyword that is not supported');
    const node = this.combined(schema, path, nesting);
    if (schema['nullable'] !== true) return node;
    return this.union([node, this.literal([null], path)], path);
  }

  private combined(schema: Schema, path: string, nesting: number): Node {
    const beside = Object.keys(schema).filter(
      (keyword) => !annotations.has(keyword) && keyword !== 'nullable',
    );
    for (const keyword of ['$ref', 'anyOf', 'oneOf', 'allOf'] as const) {
      if (schema[keyword] === undefined) continue;
      const other = beside.find((name) => name !== keyword);
      if (other !== undefined) refuse(`${path}.${keyword}`, `beside ${other} is not supported`);
      if (keyword === '$ref') return this.ref(schema[keyword], `${path}.${keyword}`);
      const options = schema[keyword];
      if (!Array.isArray(options) || options.length === 0)
        refuse(`${path}.${keyword}`, 'must be a list of schemas');
      if (keyword === 'allOf' && options.length > 1)
        refuse(`${path}.allOf`, 'of more than one schema is not supported');
      if (keyword === 'oneOf') this.assertApart(options, `${path}.oneOf`);
      return this.union(
        options.map((option, i) => this.node(option, `${path}.${keyword}.${i}`, nesting + 1)),
        `${path}.${keyword}`,
      );
    }
    const asked = this.typesOf(schema, path);
    if (schema['const'] !== undefined || schema['enum'] !== undefined)
      return this.enumerated(schema, asked, path);
    if (asked === null) return this.anyValue();
    return this.union(
      asked.map((type) => this.typed(type, schema, path, nesting)),
      path,
    );
  }

  /** null: all. Where a schema does not say, those that its keywords are about: a narrower answer is one all the same. */
  private typesOf(schema: Schema, path: string): Type[] | null {
    const { type } = schema;
    if (type === undefined) {
      const about = new Set(Object.keys(schema).flatMap((keyword) => keywords[keyword] ?? []));
      return about.size === 0 ? null : types.filter((one) => about.has(one));
    }
    const named = (Array.isArray(type) ? type : [type]) as Type[];
    if (named.length === 0 || named.some((one) => !types.includes(one)))
      refuse(`${path}.type`, `must be of ${types.join(', ')}`);
    return [...new Set(named)];
  }

  private enumerated(schema: Schema, asked: Type[] | null, path: string): Node {
    const key = schema['enum'] === undefined ? 'const' : 'enum';
    if (schema['enum'] !== undefined && schema['const'] !== undefined)
      refuse(`${path}.const`, 'beside enum is not supported');
    const values = key === 'const' ? [schema['const']] : schema['enum'];
    if (!Array.isArray(values) || values.length === 0) refuse(`${path}.${key}`, 'must be a list of values');
    const limiting = Object.keys(schema).find((keyword) => keywords[keyword] !== undefined);
    if (limiting !== undefined) refuse(`${path}.${limiting}`, `beside ${key} is not supported`);
    const fitting = values.filter((value) => asked === null || asked.some((type) => isOfType(value, type)));
    if (fitting.length === 0) refuse(`${path}.${key}`, 'has no value of the type');
    return this.literal(fitting, path);
  }

  private literal(values: readonly unknown[], path: string): Node {
    const texts = new ByteTrie();
    values.forEach((value, i) => texts.add(JSON.stringify(value), i));
    return this.add({ kind: 'literal', texts }, path);
  }

  /** A value that several of them took would be one of none. */
  private assertApart(options: readonly unknown[], path: string): void {
    const told = options.map((option) => this.resolved(option));
    for (const [i, one] of told.entries())
      for (const other of told.slice(0, i))
        if (!areApart(one, other))
          refuse(
            `${path}.${i}`,
            'is not told from another by its type, or by const or enum, its own or that of a property which both require',
          );
  }

  /** What a schema refers to. */
  private resolved(schema: unknown): Schema {
    let at = schema;
    for (let steps = 0; isObject(at) && typeof at['$ref'] === 'string' && steps < mostNesting; steps += 1)
      at = this.lookUp(at['$ref']);
    if (!isObject(at)) return {};
    const { properties } = at;
    if (!isObject(properties)) return at;
    const inside = Object.entries(properties).map(([name, value]) => [
      name,
      isObject(value) && value['$ref'] !== undefined ? this.resolved(value) : value,
    ]);
    return { ...at, properties: Object.fromEntries(inside) as Schema };
  }

  private ref(ref: unknown, path: string): Node {
    if (typeof ref !== 'string' || !/^#(\/|$)/.test(ref))
      refuse(path, 'must lead into the schema itself: #/$defs/…');
    const known = this.links.get(ref);
    if (known !== undefined) return known;
    const at = this.lookUp(ref);
    if (at === undefined) refuse(path, `leads nowhere: ${ref}`);
    const link = this.add<LinkNode>({ kind: 'link', to: null }, path);
    this.links.set(ref, link);
    this.pending.push({ link, schema: at, path: `${this.path}${ref.slice(1).replaceAll('/', '.')}` });
    return link;
  }

  private lookUp(ref: string): unknown {
    let at: unknown = this.root;
    for (const part of ref.split('/').slice(1)) {
      const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
      at =
        isObject(at) && Object.hasOwn(at, name)
          ? at[name]
          : Array.isArray(at)
            ? (at as unknown[])[Number(name)]
            : undefined;
    }
    return at;
  }

  private typed(type: Type, schema: Schema, path: string, nesting: number): Node {
    switch (type) {
      case 'null':
        return this.literal([null], path);
      case 'boolean':
        return this.literal([true, false], path);
      case 'string':
        return this.string(schema, path);
      case 'integer':
        return this.integer(schema, path);
      case 'number':
        return this.number(schema, path);
      case 'array': {
        const [min, max] = counts(schema, 'minItems', 'maxItems', path);
        const { items } = schema;
        const of = items === undefined ? this.anyValue() : this.node(items, `${path}.items`, nesting + 1);
        return this.add({ kind: 'array', items: of, min, max }, path);
      }
      case 'object':
        return this.object(schema, path, nesting);
    }
  }

  private string(schema: Schema, path: string): Node {
    const [min, max] = counts(schema, 'minLength', 'maxLength', path);
    const { pattern, format } = schema;
    if (pattern === undefined && format === undefined) return this.add({ kind: 'string', min, max }, path);
    const keyword = pattern === undefined ? 'format' : 'pattern';
    if (pattern !== undefined && format !== undefined)
      refuse(`${path}.format`, 'beside pattern is not supported');
    const text = pattern ?? formats[String(format)];
    if (typeof text !== 'string')
      refuse(
        `${path}.${keyword}`,
        keyword === 'pattern' ? 'must be a string' : `must be of ${Object.keys(formats).join(', ')}`,
      );
    try {
      return this.add({ kind: 'pattern', states: automatonOf(parsePattern(text), min, max) }, path);
    } catch (error) {
      if (error instanceof RegexError) refuse(`${path}.${keyword}`, error.message);
      throw error;
    }
  }

  private number(schema: Schema, path: string): Node {
    const given = limits.filter((key) => schema[key] !== undefined);
    if (given.length === 0) return this.add({ kind: 'number' }, path);
    for (const key of given)
      if (typeof schema[key] !== 'number' || Math.abs(schema[key]) > largest)
        refuse(`${path}.${key}`, 'must be a number of 15 digits at most');
    const bounds = decimalLimits(schema);
    if (bounds.low > bounds.high)
      refuse(path, `has no number between its limits with ${bounds.places} digits after the point`);
    return this.add({ kind: 'decimal', ...bounds }, path);
  }

  private integer(schema: Schema, path: string): Node {
    const limit = (key: string, step: number, round: (value: number) => number, otherwise: number) => {
      const value = schema[key] ?? otherwise;
      if (typeof value !== 'number' || !Number.isFinite(value)) refuse(`${path}.${key}`, 'must be a number');
      const nearest = round(value);
      return step !== 0 && nearest === value && schema[key] !== undefined ? nearest + step : nearest;
    };
    const min = Math.max(
      limit('minimum', 0, Math.ceil, -largest),
      limit('exclusiveMinimum', 1, Math.ceil, -largest),
    );
    const max = Math.min(
      limit('maximum', 0, Math.floor, largest),
      limit('exclusiveMaximum', -1, Math.floor, largest),
    );
    if (min > max) refuse(path, `has no integer of 15 digits between ${min} and ${max}`);
    return this.add({ kind: 'integer', min, max }, path);
  }

  private object(schema: Schema, path: string, nesting: number): Node {
    const { properties = {}, required = [], additionalProperties } = schema;
    if (!isObject(properties)) refuse(`${path}.properties`, 'must be an object');
    if (!Array.isArray(required) || required.some((name) => typeof name !== 'string'))
      refuse(`${path}.required`, 'must be a list of names');
    const inPath = `${path}.additionalProperties`;
    const isOpen = additionalProperties !== undefined && additionalProperties !== false;
    // A schema that says nothing of others, but of some, is taken to mean these alone.
    const free = additionalProperties === undefined && Object.keys(properties).length === 0;
    const additional = isOpen
      ? this.node(additionalProperties, inPath, nesting + 1)
      : free
        ? this.anyValue()
        : null;
    const list: Property[] = Object.entries(properties).map(([name, value]) => ({
      name,
      required: required.includes(name),
      value: this.node(value, `${path}.properties.${name}`, nesting + 1),
    }));
    for (const name of required as string[])
      if (!Object.hasOwn(properties, name)) {
        if (additionalProperties === false) refuse(`${path}.required`, `has '${name}', which is no property`);
        list.push({ name, required: true, value: additional ?? this.anyValue() });
      }
    const names = new ByteTrie();
    list.forEach(({ name }, i) => names.add(name, i));
    return this.add({ kind: 'object', properties: list, additional, names }, path);
  }

  private union(options: readonly Node[], path: string): Node {
    if (options.length > mostOptions) refuse(path, `has more than ${mostOptions} alternatives`);
    return options.length === 1 ? (options[0] as Node) : this.add({ kind: 'union', options }, path);
  }

  /** Heights, the least that fulfils all definitions: those of what has no end stay infinite. */
  private measure(): void {
    for (let changed = true; changed;) {
      changed = false;
      for (const node of this.objects) {
        const height = heightOf(node);
        if (height < node.height) {
          node.height = height;
          changed = true;
        }
      }
    }
  }
}

function heightOf(node: Node): number {
  switch (node.kind) {
    case 'array':
      return node.min === 0 ? 1 : 1 + node.items.height;
    case 'object':
      return 1 + Math.max(0, ...node.properties.map(({ required, value }) => (required ? value.height : 0)));
    case 'union':
      return Math.min(...node.options.map(({ height }) => height));
    case 'link':
      return node.to?.height ?? Infinity;
    default:
      return 1;
  }
}

function counts(schema: Schema, least: string, most: string, path: string): [number, number] {
  const min = schema[least] ?? 0;
  const max = schema[most] ?? Infinity;
  for (const [key, value] of [
    [least, min],
    [most, max],
  ] as const)
    if (typeof value !== 'number' || value < 0 || !(Number.isInteger(value) || value === Infinity))
      refuse(`${path}.${key}`, 'must be a whole number');
  if ((min as number) > (max as number)) refuse(`${path}.${least}`, `is more than ${most}`);
  return [min as number, max as number];
}

function isOfType(value: unknown, type: Type): boolean {
  if (type === 'null') return value === null;
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'array') return Array.isArray(value);
  return type === 'object' ? isObject(value) : typeof value === type;
}

/**
 * A JSON schema (draft 2020-12, as far as docs/serving.md lists it) as a form. `path`: where it stands in the request. Takes time and memory by
 * the size of what is written, not of what it allows. Error: validation_failed, naming the part that is not supported.
 */
export const compileSchema = (schema: Schema, path: string): Node => new Compiler(schema, path).compile();

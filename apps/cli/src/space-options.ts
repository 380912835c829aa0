import { type CreateSweepInput, type Dimension } from '@lowrank/contracts';
import { InvalidArgumentError } from 'commander';

export type Space = CreateSweepInput['space'];

const number = String.raw`[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?`;
const range = new RegExp(String.raw`^(?:(log|int|log-int):)?(${number})\.\.(${number})$`, 'i');

/**
 * Adds `--set field=…` to a space: values with commas between them (`8,16,32`, `cosine,linear`), a JSON list of values
 * (`[["q_proj"],"all-linear"]`), or a range (`0..0.1`, `log:1e-5..1e-3`, `int:1..8`, `log-int:4..64`).
 */
export function addDimension(text: string, space: Space = {}): Space {
  const at = text.indexOf('=');
  const field = text.slice(0, at).trim();
  const spec = text.slice(at + 1).trim();
  if (at < 1 || spec === '')
    throw new InvalidArgumentError(
      'It must be field=values, e.g. lora.rank=8,16 or optimizer.learningRate=log:1e-5..1e-3.',
    );
  if (field in space)
    throw new InvalidArgumentError(`${field} is set twice; put all of its values into one.`);
  return { ...space, [field]: dimensionOf(spec) };
}

function dimensionOf(spec: string): Space[string] {
  const [, kind = '', min, max] = range.exec(spec) ?? [];
  if (min !== undefined && max !== undefined) {
    const scale = kind.toLowerCase().startsWith('log') ? 'log' : 'linear';
    return { min: Number(min), max: Number(max), scale, integer: kind.toLowerCase().endsWith('int') };
  }
  if (spec.startsWith('[')) return { values: listOf(spec) };
  return { values: spec.split(',').map((value) => valueOf(value.trim())) };
}

function listOf(spec: string): unknown[] {
  try {
    return JSON.parse(spec) as unknown[];
  } catch {
    throw new InvalidArgumentError(`${spec} is no JSON list of values.`);
  }
}

/** A number, true, false or null as such; anything else is text. */
function valueOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** What a dimension can be, as `--set` takes it. */
export function describeDimension(dimension: Dimension): string {
  if ('values' in dimension) return dimension.values.map(shown).join(', ');
  const { min, max, scale, integer } = dimension;
  const kind = [scale === 'log' ? 'log' : '', integer ? 'int' : ''].filter(Boolean).join('-');
  return `${kind === '' ? '' : `${kind}:`}${min}..${max}`;
}

export const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

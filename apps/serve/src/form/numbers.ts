import { type Compiler } from './compile';
import { decimalLimits, mostPlaces, mostWhole } from './decimal';
import { type Node } from './node';
import { type Part, refuse, said } from './schema';

/** The tightest of the limits that a keyword sets. What lies beyond all numbers that are written makes no difference. */
function limitOf(parts: readonly Part[], keyword: string, tightest: (...of: number[]) => number) {
  const limits = said(parts, keyword).map(({ value, path }) => {
    if (typeof value !== 'number' || !Number.isFinite(value)) refuse(path, 'must be a number');
    return Math.max(-mostWhole, Math.min(mostWhole, value));
  });
  return limits.length === 0 ? undefined : tightest(...limits);
}

function multipleOf(parts: readonly Part[]): number | undefined {
  const [one, another] = said(parts, 'multipleOf');
  if (another !== undefined) refuse(another.path, 'beside another is not supported');
  if (one === undefined) return undefined;
  const { value, path } = one;
  if (typeof value !== 'number' || value <= 0 || value >= mostWhole)
    refuse(path, 'must be a number above 0, of 15 digits at most');
  return value;
}

/** `whole`: integers only. */
export function compileNumber(
  compiler: Compiler,
  parts: readonly Part[],
  path: string,
  whole: boolean,
): Node {
  const limits = {
    minimum: limitOf(parts, 'minimum', Math.max),
    exclusiveMinimum: limitOf(parts, 'exclusiveMinimum', Math.max),
    maximum: limitOf(parts, 'maximum', Math.min),
    exclusiveMaximum: limitOf(parts, 'exclusiveMaximum', Math.min),
    multipleOf: multipleOf(parts),
  };
  if (!whole && Object.values(limits).every((limit) => limit === undefined))
    return compiler.add({ kind: 'number' }, path);
  const decimal = decimalLimits(limits, whole);
  if (decimal.places > mostPlaces)
    refuse(said(parts, 'multipleOf')[0]?.path ?? path, `has more than ${mostPlaces} digits after the point`);
  if (decimal.low > decimal.high)
    refuse(path, `has no ${whole ? 'integer' : 'number'} of 15 digits between its limits`);
  return compiler.add({ kind: 'decimal', ...decimal }, path);
}

import { type DecimalNode } from './node';

/* Integers, and numbers between limits, as whole multiples of 10⁻ᵖ: what is read back by any parser is within the limits, since rounding keeps the order. */

/** Whole parts are below this: 15 digits. */
export const mostWhole = 10 ** 15;
/** Digits after the point, where the limits leave that many of the 15 that are exact. */
export const mostPlaces = 12;

export interface Limits {
  minimum?: number | undefined;
  maximum?: number | undefined;
  exclusiveMinimum?: number | undefined;
  exclusiveMaximum?: number | undefined;
  /** Above 0. */
  multipleOf?: number | undefined;
}

/** A number so far: `whole` + `fraction` · 10^−`digits`. `open`: more digits of the whole part may come. */
export interface Begun {
  negative: boolean;
  whole: number;
  digits: number;
  fraction: number;
  open: boolean;
}

/** A number as it is written: `digits` · 10^`shift`. */
function written(value: number): { digits: bigint; shift: number } {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/.exec(String(value)) ?? [];
  return {
    digits: BigInt(whole + fraction) * (sign === '-' ? -1n : 1n),
    shift: Number(exponent) - fraction.length,
  };
}

/** A number in units of 10^−places: the nearest that is not below it, and whether that is it. */
function unitsOf(value: number, places: number): { ceiling: bigint; exact: boolean } {
  const { digits, shift } = written(value);
  if (shift + places >= 0) return { ceiling: digits * 10n ** BigInt(shift + places), exact: true };
  const divisor = 10n ** BigInt(-shift - places);
  return { ceiling: ceiling(digits, divisor), exact: digits % divisor === 0n };
}

/** BigInt's division cuts towards 0. */
const ceiling = (value: bigint, by: bigint): bigint => value / by + (value % by > 0n ? 1n : 0n);
const floor = (value: bigint, by: bigint): bigint => -ceiling(-value, by);
const divisor = (a: bigint, b: bigint): bigint => (b === 0n ? a : divisor(b, a % b));

/** Digits after the point that numbers have, and the least step from one to the next in their units. */
function stepOf({ multipleOf, ...limits }: Limits, whole: boolean): { places: number; step: bigint } {
  if (multipleOf !== undefined) {
    const { digits, shift } = written(multipleOf);
    const units = digits * 10n ** BigInt(Math.max(0, shift));
    const places = Math.max(0, -shift);
    // Of whole numbers, those that are multiples too.
    return whole
      ? { places: 0, step: units / divisor(units, 10n ** BigInt(places)) }
      : { places, step: units };
  }
  const largest = Math.max(...Object.values(limits).map((limit: number | undefined) => Math.abs(limit ?? 0)));
  const wholeDigits = largest < 1 ? 1 : Math.floor(Math.log10(largest)) + 1;
  return { places: whole ? 0 : Math.max(0, Math.min(mostPlaces, 15 - wholeDigits)), step: 1n };
}

/**
 * The numbers between limits, both included; `low` > `high`: there are none. Multiples have 15 digits at most, so that any parser reads them back as
 * they are; of other numbers it is enough that their order stays.
 */
export function decimalLimits(
  limits: Limits,
  whole: boolean,
): Pick<DecimalNode, 'low' | 'high' | 'step' | 'places'> {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = limits;
  const { places, step } = stepOf(limits, whole);
  const isExact = multipleOf !== undefined && !whole;
  const most = BigInt(mostWhole) * (isExact ? 1n : 10n ** BigInt(places)) - 1n;
  const lows = [-most];
  const highs = [most];
  for (const [limit, isExclusive] of [
    [minimum, false],
    [exclusiveMinimum, true],
  ] as const) {
    if (limit === undefined) continue;
    const { ceiling: least, exact } = unitsOf(limit, places);
    lows.push(exact && isExclusive ? least + 1n : least);
  }
  for (const [limit, isExclusive] of [
    [maximum, false],
    [exclusiveMaximum, true],
  ] as const) {
    if (limit === undefined) continue;
    const { ceiling: least, exact } = unitsOf(limit, places);
    highs.push(exact && !isExclusive ? least : least - 1n);
  }
  const low = lows.reduce((a, b) => (a > b ? a : b));
  const high = highs.reduce((a, b) => (a < b ? a : b));
  return { places, step, low: ceiling(low, step) * step, high: floor(high, step) * step };
}

/** What a number can still become lies from one end to the other, in units; of open ones for `more` further digits of the whole part. */
function span(places: number, { whole, digits, fraction }: Begun, more: number): [bigint, bigint] {
  const unit = 10n ** BigInt(places - digits + more);
  const first = (BigInt(whole) * 10n ** BigInt(digits) + BigInt(fraction)) * unit;
  return [first, first + unit - 1n];
}

/** Whether a number that begins so can end within the limits. */
export function canBecome({ low, high, step, places }: DecimalNode, begun: Begun): boolean {
  const [least, most] = begun.negative ? [-high, -low] : [low, high];
  const reach = (more: number) => {
    const [first, last] = span(places, begun, more);
    const next = ceiling(first > least ? first : least, step) * step;
    return next <= last && next <= most;
  };
  if (reach(0)) return true;
  for (let more = 1; begun.open && begun.whole * 10 ** more < mostWhole; more += 1)
    if (reach(more)) return true;
  return false;
}

/** Whether a number is within the limits as it is. */
export function isWithin({ low, high, step, places }: DecimalNode, begun: Begun): boolean {
  const [units] = span(places, begun, 0);
  const value = begun.negative ? -units : units;
  return value >= low && value <= high && value % step === 0n;
}

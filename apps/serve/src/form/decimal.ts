import { type DecimalNode } from './node';

/* Numbers between limits, as whole multiples of 10⁻ᵖ: what is read back by any parser is within the limits, since rounding keeps the order. */

/** Whole parts are below this: 15 digits. */
export const mostWhole = 10 ** 15;
/** Digits after the point, where the limits leave that many of the 15 that are exact. */
const mostPlaces = 12;

export interface Limits {
  minimum?: number | undefined;
  maximum?: number | undefined;
  exclusiveMinimum?: number | undefined;
  exclusiveMaximum?: number | undefined;
}

/** A number so far: `whole` + `fraction` · 10^−`digits`. `open`: more digits of the whole part may come. */
export interface Begun {
  negative: boolean;
  whole: number;
  digits: number;
  fraction: number;
  open: boolean;
}

/** A decimal as it is written, in units of 10^−places: the nearest that is not below it, and whether that is it. */
function unitsOf(value: number, places: number): { ceiling: bigint; exact: boolean } {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/.exec(String(value)) ?? [];
  const digits = BigInt(whole + fraction) * (sign === '-' ? -1n : 1n);
  const shift = Number(exponent) - fraction.length + places;
  if (shift >= 0) return { ceiling: digits * 10n ** BigInt(shift), exact: true };
  const divisor = 10n ** BigInt(-shift);
  const exact = digits % divisor === 0n;
  // BigInt's division cuts towards 0.
  return { ceiling: digits / divisor + (exact || digits < 0n ? 0n : 1n), exact };
}

/** The units between limits, both included; `low` > `high`: there are none. */
export function decimalLimits(limits: Limits): Pick<DecimalNode, 'low' | 'high' | 'places'> {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = limits;
  const given = [minimum, maximum, exclusiveMinimum, exclusiveMaximum].filter((limit) => limit !== undefined);
  const largest = Math.max(...given.map(Math.abs));
  const wholeDigits = largest < 1 ? 1 : Math.floor(Math.log10(largest)) + 1;
  const places = Math.max(0, Math.min(mostPlaces, 15 - wholeDigits));
  const most = BigInt(mostWhole) * 10n ** BigInt(places) - 1n;
  const lows = [-most];
  const highs = [most];
  for (const [limit, isExclusive] of [
    [minimum, false],
    [exclusiveMinimum, true],
  ] as const) {
    if (limit === undefined) continue;
    const { ceiling, exact } = unitsOf(limit, places);
    lows.push(exact && isExclusive ? ceiling + 1n : ceiling);
  }
  for (const [limit, isExclusive] of [
    [maximum, false],
    [exclusiveMaximum, true],
  ] as const) {
    if (limit === undefined) continue;
    const { ceiling, exact } = unitsOf(limit, places);
    highs.push(exact && !isExclusive ? ceiling : ceiling - 1n);
  }
  return {
    places,
    low: lows.reduce((a, b) => (a > b ? a : b)),
    high: highs.reduce((a, b) => (a < b ? a : b)),
  };
}

/** What a number can still become lies from one end to the other, in units; of open ones for `more` further digits of the whole part. */
function span(places: number, { whole, digits, fraction }: Begun, more: number): [bigint, bigint] {
  const unit = 10n ** BigInt(places - digits + more);
  const first = (BigInt(whole) * 10n ** BigInt(digits) + BigInt(fraction)) * unit;
  return [first, first + unit - 1n];
}

/** Whether a number that begins so can end within the limits. */
export function canBecome({ low, high, places }: DecimalNode, begun: Begun): boolean {
  const [least, most] = begun.negative ? [-high, -low] : [low, high];
  const reach = (more: number) => {
    const [first, last] = span(places, begun, more);
    return first <= most && last >= least;
  };
  if (reach(0)) return true;
  for (let more = 1; begun.open && begun.whole * 10 ** more < mostWhole; more += 1)
    if (reach(more)) return true;
  return false;
}

/** Whether a number is within the limits as it is. */
export function isWithin({ low, high, places }: DecimalNode, begun: Begun): boolean {
  const [units] = span(places, begun, 0);
  const value = begun.negative ? -units : units;
  return value >= low && value <= high;
}

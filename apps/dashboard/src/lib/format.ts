const whole = new Intl.NumberFormat('en');
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** 1234567 → `1,234,567`. */
export const formatCount = (value: number): string => whole.format(value);
/** 1234567 → `1.2M`. */
export const formatCompact = (value: number): string => compact.format(value);

/** A measurement with so many significant digits, e.g. `0.0123`, `1.5e-5`. */
export function formatNumber(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6))
    return value
      .toExponential(digits - 1)
      .replace(/\.?0+e/, 'e')
      .replace('e+', 'e');
  return String(Number(value.toPrecision(digits)));
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
/** 1536 → `1.5 KiB`. */
export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  const value = bytes / 1024 ** power;
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** 3725 seconds → `1 h 2 min`; the two largest units that matter. */
export function formatDuration(seconds: number): string {
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const total = Math.round(seconds);
  const parts: [number, string][] = [
    [Math.floor(total / 86_400), 'd'],
    [Math.floor((total % 86_400) / 3600), 'h'],
    [Math.floor((total % 3600) / 60), 'min'],
    [total % 60, 's'],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ');
}

/** 0.123 → `12%`. */
export const formatPercent = (share: number): string => `${Math.round(share * 100)}%`;

/** How long ago, or in how long, a time is: `just now`, `5 min ago`, `in 2 h`. */
export function formatAgo(time: string, now: number): string {
  const seconds = (now - Date.parse(time)) / 1000;
  if (Math.abs(seconds) < 5) return 'just now';
  const [first] = formatDuration(Math.max(Math.abs(seconds), 10)).split(/(?<=[a-z]) /);
  return seconds > 0 ? `${first} ago` : `in ${first}`;
}

/** The time as the reader's clock shows it, to the second. */
export const formatTime = (time: string): string =>
  new Date(time).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

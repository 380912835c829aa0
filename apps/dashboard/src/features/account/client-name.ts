/* In the order of what to ask for first: browsers name those that they are made from, too. */
const programs: [RegExp, string][] = [
  [/\bEdg(?:A|iOS)?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/\b(?:Chrome|HeadlessChrome|Chromium|CriOS)\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
];
const systems: [RegExp, string][] = [
  [/\b(?:iPhone|iPad)\b/, 'iOS'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux'],
];

const first = (names: [RegExp, string][], text: string) => names.find(([pattern]) => pattern.test(text))?.[1];

/** What people call the program that a `User-Agent` is of, such as `Firefox on Linux`; of one that is no browser its first word. */
export function clientName(userAgent: string | null): string {
  if (userAgent === null || userAgent.trim() === '') return 'unknown';
  const program = first(programs, userAgent);
  const system = first(systems, userAgent);
  if (program === undefined) return userAgent.trim().split(/\s/)[0] ?? '';
  return system === undefined ? program : `${program} on ${system}`;
}

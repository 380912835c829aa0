/*
 * Formats of JSON Schema as patterns: what each means, or less where there are forms that hardly anybody writes. Dates and times are RFC 3339's, without leap
 * seconds; addresses of mail are of letters, digits and . _ + - at a domain of letters; a URI is one of the web.
 */

const twoDigits = { month31: '(?:0[13578]|1[02])', month30: '(?:0[469]|11)' };
const leapYear = '(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)';
const dayOf31 = '(?:0[1-9]|[12]\\d|3[01])';
const dayOf30 = '(?:0[1-9]|[12]\\d|30)';
const date =
  `(?:\\d{4}-(?:${twoDigits.month31}-${dayOf31}|${twoDigits.month30}-${dayOf30}|02-(?:0[1-9]|1\\d|2[0-8]))` +
  `|${leapYear}-02-29)`;
const hour = '(?:[01]\\d|2[0-3])';
const time = `${hour}:[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-]${hour}:[0-5]\\d)`;
const octet = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const label = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,20}[A-Za-z0-9])?';
const hostname = `(?:${label}\\.){0,5}${label}`;
const ipv4 = `${octet}(?:\\.${octet}){3}`;
const group = '[0-9a-fA-F]{1,4}';
/** `before` groups, two colons for those that are 0, and up to as many after them as make seven. */
const shortened = (before: number) =>
  `${before === 0 ? ':' : `(?:${group}:){${before}}`}(?::${group}){1,${7 - before}}`;
const ipv6 = `(?:(?:${group}:){7}${group}|${[0, 1, 2, 3, 4, 5, 6].map(shortened).join('|')}|(?:${group}:){1,7}:|::)`;
const inUri = "(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*";
const uri = `https?://${hostname}(?::[1-9]\\d{0,3})?(?:/${inUri})?(?:\\?${inUri})?(?:#${inUri})?`;
const [n, t] = ['\\d{1,9}', 'T'];
const seconds = `${n}S`;
const minutes = `${n}M(?:${seconds})?`;
const ofDay = `${t}(?:${n}H(?:${minutes})?|${minutes}|${seconds})`;
const months = `${n}M(?:${n}D)?`;
const duration = `P(?:${n}W|(?:${n}Y(?:${months})?|${months}|${n}D)(?:${ofDay})?|${ofDay})`;

export const formats: Readonly<Record<string, string>> = {
  date: `^${date}$`,
  time: `^${time}$`,
  'date-time': `^${date}T${time}$`,
  uuid: '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$',
  email: `^[A-Za-z0-9_+-]{1,20}(?:\\.[A-Za-z0-9_+-]{1,20}){0,2}@(?:${label}\\.){1,3}[A-Za-z]{2,10}$`,
  ipv4: `^${ipv4}$`,
  ipv6: `^${ipv6}$`,
  hostname: `^${hostname}$`,
  uri: `^${uri}$`,
  duration: `^${duration}$`,
};

/** Formats that say how a string is to be taken, and nothing of what it is. */
export const freeFormats: ReadonlySet<string> = new Set(['password', 'binary', 'path']);

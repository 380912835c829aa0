/*
 * Formats of JSON Schema as patterns: what each means, or less where there are forms that hardly anybody writes. Dates and times are RFC 3339's, without leap
 * seconds; addresses of mail are of letters, digits and . _ + - at a domain of letters.
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

export const formats: Readonly<Record<string, string>> = {
  date: `^${date}$`,
  time: `^${time}$`,
  'date-time': `^${date}T${time}$`,
  uuid: '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$',
  email: `^[A-Za-z0-9_+-]{1,20}(?:\\.[A-Za-z0-9_+-]{1,20}){0,2}@(?:${label}\\.){1,3}[A-Za-z]{2,10}$`,
  ipv4: `^${octet}(?:\\.${octet}){3}$`,
};

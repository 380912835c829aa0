/** JSON as YAML 1.2 in block style; texts that could be taken for something else are quoted, as JSON quotes them. */
export function toYaml(value: unknown, indent = ''): string {
  if (Array.isArray(value))
    return value.length === 0 || value.every((one) => typeof one !== 'object')
      ? ` ${JSON.stringify(value)}\n`
      : `\n${value.map((one) => `${indent}-${toYaml(one, `${indent}  `)}`).join('')}`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 0) return ' {}\n';
    const lines = entries
      .map(([name, inner]) => `${indent}${scalar(name)}:${toYaml(inner, `${indent}  `)}`)
      .join('');
    return indent === '' ? lines : `\n${lines}`;
  }
  return ` ${typeof value === 'string' ? scalar(value) : JSON.stringify(value)}\n`;
}

const scalar = (text: string): string =>
  /^[A-Za-z_][\w./@-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text)
    ? text
    : JSON.stringify(text);

/** Statements that a connection keeps prepared. The product has far fewer; lists of varying length must not make them grow without end. */
const most = 300;

/**
 * Names for statements by their text, so that Postgres parses and plans each once per connection. Beyond `most` texts the name is empty:
 * such a statement is sent as before.
 */
export function statementNames(limit = most): (query: { sql: string }) => string {
  const names = new Map<string, string>();
  return ({ sql }) => {
    const known = names.get(sql);
    if (known !== undefined) return known;
    if (names.size >= limit) return '';
    const name = `lowrank_${names.size}`;
    names.set(sql, name);
    return name;
  };
}

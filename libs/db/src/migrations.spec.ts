import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(__dirname, '../../../prisma/migrations');
/** Of before the rule; the migration after it gave the column a default. */
const exceptions = ['20261128150000_session_use'];
const migrations = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();

/** Cuts at a separator, but not inside of quotes, dollar quotes and parentheses. */
function cut(text: string, separator: ';' | ','): string[] {
  const pieces = [''];
  let depth = 0;
  for (const [token] of text.matchAll(/'(?:[^']|'')*'|(\$\w*\$)[^]*?\1|[^]/g)) {
    if (token === '(') depth += 1;
    if (token === ')') depth -= 1;
    if (token === separator && depth === 0) pieces.push('');
    else pieces[pieces.length - 1] += token;
  }
  return pieces.map((piece) => piece.trim());
}

/**
 * Columns that have to have a value after a migration though a process of the release before, which does not know of them, gives none. Those of
 * tables that the migration makes are no matter: such a process does not write to them.
 */
function unfilledColumns(sql: string): string[] {
  const statements = cut(sql.replace(/--.*/g, ''), ';');
  const made = new Set(
    statements.flatMap((one) => /^CREATE TABLE (?:IF NOT EXISTS )?(\S+)/i.exec(one)?.slice(1) ?? []),
  );
  const defaults = new Set<string>();
  const needed: string[] = [];
  for (const statement of statements) {
    const [, table = '', clauses = ''] =
      /^ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(\S+)\s+([^]*)$/i.exec(statement) ?? [];
    if (table === '' || made.has(table)) continue;
    for (const clause of cut(clauses, ',')) {
      const [, added, definition = ''] = /^ADD COLUMN (?:IF NOT EXISTS )?(\S+)\s+([^]*)$/i.exec(clause) ?? [];
      const [, altered, action = ''] = /^ALTER (?:COLUMN )?(\S+)\s+SET\s+([^]*)$/i.exec(clause) ?? [];
      const column = `${table}.${added ?? altered}`;
      if (/\bDEFAULT\b|\bGENERATED\b/i.test(definition) || /^DEFAULT\b/i.test(action)) defaults.add(column);
      if (/\bNOT NULL\b/i.test(definition) || /^NOT NULL/i.test(action)) needed.push(column);
    }
  }
  return needed.filter((column) => !defaults.has(column));
}

it.each([
  ['ALTER TABLE a ADD COLUMN b text NOT NULL', ['a.b']],
  ["ALTER TABLE a ADD COLUMN b text DEFAULT 'x, NOT NULL', ADD COLUMN c int\nNOT NULL;", ['a.c']],
  ['ALTER TABLE a ADD COLUMN b text; ALTER TABLE a ALTER COLUMN b SET NOT NULL', ['a.b']],
  ['ALTER TABLE a ALTER b SET NOT NULL, ALTER b SET DEFAULT now()', []],
  ['ALTER TABLE a ADD COLUMN b jsonb NOT NULL DEFAULT \'{"c": 1}\' CHECK (b IS NOT NULL)', []],
  ['ALTER TABLE a ADD COLUMN b text NOT NULL GENERATED ALWAYS AS (f(c, d)) STORED', []],
  ['CREATE TABLE a (id text); ALTER TABLE a ADD COLUMN b text NOT NULL', []],
  ['-- ALTER TABLE a ADD COLUMN b text NOT NULL;\nSELECT $$ ALTER TABLE a; $$', []],
])('%s leaves %j unfilled', (sql, columns) => {
  expect(unfilledColumns(sql)).toEqual(columns);
});

it.each(migrations)('%s lets the release before go on writing', (name) => {
  const unfilled = unfilledColumns(readFileSync(join(folder, name, 'migration.sql'), 'utf8'));
  expect(unfilled.length > 0).toBe(exceptions.includes(name));
});

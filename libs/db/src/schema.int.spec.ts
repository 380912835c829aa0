import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SpecDatabase } from './test/database';

const database = new SpecDatabase({ seed: false });
const schema = readFileSync(join(__dirname, '../../../prisma/schema.prisma'), 'utf8');
const scalars: Record<string, string> = {
  String: 'text',
  Int: 'int4',
  BigInt: 'int8',
  Float: 'float8',
  Boolean: 'bool',
  Json: 'jsonb',
  DateTime: 'timestamptz',
};
const models = [...schema.matchAll(/^model \w+ \{\n(.*?)^\}/gms)].map((match) => {
  const lines = (match[1] ?? '').split('\n').map((line) => line.trim());
  const columnOf = new Map<string, string>();
  const columns: string[] = [];
  for (const line of lines) {
    const [, field = '', type = '', optional] = /^(\w+)\s+(\w+)(\?)?(?!\[)(\s|$)/.exec(line) ?? [];
    if (!(type in scalars)) continue;
    const name = /@map\("(\w+)"\)/.exec(line)?.[1] ?? field;
    columnOf.set(field, name);
    const native = /@db\.Date(\s|$)/.test(line) ? 'date' : scalars[type];
    columns.push(`${name} ${native}${optional ? '' : ' NOT NULL'}`);
  }
  const list = (fields = '') => fields.split(/,\s*/).map((field) => columnOf.get(field));
  const several = (kind: string) =>
    lines.flatMap((line) => new RegExp(`^@@${kind}\\(\\[(.*?)\\]`).exec(line)?.slice(1) ?? []).map(list);
  const single = (kind: string) =>
    lines.flatMap((line) =>
      new RegExp(`^\\w+\\s.*\\s@${kind}(\\s|$)`).test(line) ? [list(line.split(/\s/)[0])] : [],
    );
  return {
    table: /@@map\("(\w+)"\)/.exec(match[1] ?? '')?.[1] ?? '',
    columns: columns.sort(),
    unique: [...several('unique'), ...single('unique'), ...several('id'), ...single('id')].map(String).sort(),
    indexes: several('index').map(String).sort(),
  };
});

it('knows every table and no other', async () => {
  const tables = await database.sql<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.tables
     WHERE table_schema = 'public' AND table_name <> '_prisma_migrations' ORDER BY 1`,
  );
  expect(models.map((model) => model.table).sort()).toEqual(tables.map((table) => table.name));
});

it.each(models)('has $table as the migrations make it', async ({ table, columns, unique, indexes }) => {
  const found = await database.sql<{ text: string }>(
    `SELECT column_name || ' ' || udt_name || CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END AS text
     FROM information_schema.columns WHERE table_name = $1`,
    [table],
  );
  expect(columns).toEqual(found.map((column) => column.text).sort());
  // Partial indexes are for the migrations alone.
  const keys = await database.sql<{ columns: string; unique: boolean }>(
    `SELECT i.indisunique AS unique, string_agg(a.attname, ',' ORDER BY k.place) AS columns
     FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
     WHERE i.indrelid = $1::regclass AND i.indpred IS NULL GROUP BY i.indexrelid, i.indisunique`,
    [table],
  );
  const columnsOf = (wanted: boolean) =>
    keys
      .filter((key) => key.unique === wanted)
      .map((key) => key.columns)
      .sort();
  expect(unique).toEqual(columnsOf(true));
  expect(indexes).toEqual(columnsOf(false));
});

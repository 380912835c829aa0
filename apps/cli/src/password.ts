import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { note } from './terminal';

/** A password: LOWRANK_PASSWORD, or a line of the input, which a terminal does not show. */
export async function readPassword(): Promise<string> {
  const { LOWRANK_PASSWORD: known } = process.env;
  if (known !== undefined) return known;
  if (process.stdin.isTTY) note('Password:');
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output, terminal: process.stdin.isTTY });
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
  }
}

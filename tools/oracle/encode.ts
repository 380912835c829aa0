/**
 * The product's own way from rows of a dataset to tokens and loss masks, for the oracle: a JSON array of {tokens, mask} on the output.
 *
 *     node --require tools/typescript.cjs tools/oracle/encode.ts MODEL_FOLDER ROWS.json
 */
import { type DatasetFormat } from '@lowrank/contracts';
import { encodeChat, loadChatTokenizer, parseConversations } from '@lowrank/datasets';
import { readFileSync } from 'node:fs';

const [folder, file] = process.argv.slice(2) as [string, string];

async function main(): Promise<void> {
  const rows = JSON.parse(readFileSync(file, 'utf8')) as { format: DatasetFormat; row: unknown }[];
  const tokenizer = await loadChatTokenizer(folder);
  const encoded = rows.flatMap(({ format, row }) =>
    parseConversations(row, format).map((chat) => encodeChat(chat, tokenizer)),
  );
  process.stdout.write(
    JSON.stringify(encoded.map(({ tokens, lossMask }) => ({ tokens: [...tokens], mask: [...lossMask] }))),
  );
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});

import { loadConfig } from '@lowrank/config';
import { assertDatasetValid, checkDatasetFile } from '@lowrank/datasets';
import { type Command } from 'commander';
import { convertToChats, withJsonl } from '../convert';
import { print } from '../terminal';

export function addDataCommands(program: Command): void {
  const data = program.command('data').description('convert and check dataset files, without a server');

  data
    .command('convert')
    .description('write question/answer rows (or prompt/completion, alpaca, ShareGPT) as chats')
    .argument('<in>', 'file to read: JSONL, CSV, Parquet or a JSON array, also packed with gzip')
    .argument('<out.jsonl>', 'file to write')
    .action(async (source: string, target: string) => {
      const { limits } = loadConfig();
      const rows = await withJsonl(source, limits, (file) => convertToChats(file, target, limits.lineBytes));
      print(`${rows.toLocaleString('en')} chats in ${target}.`);
    });

  data
    .command('check')
    .description('check a file row by row, as an upload does')
    .argument('<file>', 'file to read: JSONL, CSV, Parquet or a JSON array, also packed with gzip')
    .option('--base-folder <folder>', 'a base model in Hugging Face layout: count tokens with its tokenizer')
    .action(async (file: string, { baseFolder }: { baseFolder?: string }) => {
      const { limits } = loadConfig();
      const check = await withJsonl(file, limits, (rows) =>
        checkDatasetFile(rows, { maxLineBytes: limits.lineBytes, tokenizerDir: baseFolder }),
      );
      assertDatasetValid(check);
      const counted =
        check.tokens === null
          ? ''
          : `, ${check.tokens.toLocaleString('en')} tokens, ${(check.lossTokens ?? 0).toLocaleString('en')} of them learnt`;
      print(`${file}: ${check.rows.toLocaleString('en')} rows, format ${check.format}${counted}.`);
    });
}

import { loadConfig } from '@lowrank/config';
import { assertDatasetValid, checkDatasetFile } from '@lowrank/datasets';
import { type Command } from 'commander';
import { convertToChats } from '../convert';
import { print } from '../terminal';

export function addDataCommands(program: Command): void {
  const data = program.command('data').description('convert and check dataset files, without a server');

  data
    .command('convert')
    .description('write question/answer rows (or prompt/completion, alpaca) as chats')
    .argument('<in.jsonl>', 'file to read')
    .argument('<out.jsonl>', 'file to write')
    .action(async (source: string, target: string) => {
      const rows = await convertToChats(source, target, loadConfig().limits.lineBytes);
      print(`${rows.toLocaleString('en')} chats in ${target}.`);
    });

  data
    .command('check')
    .description('check a file line by line, as an upload does')
    .argument('<file.jsonl>', 'file to read')
    .option('--base-folder <folder>', 'a base model in Hugging Face layout: count tokens with its tokenizer')
    .action(async (file: string, { baseFolder }: { baseFolder?: string }) => {
      const check = await checkDatasetFile(file, {
        maxLineBytes: loadConfig().limits.lineBytes,
        tokenizerDir: baseFolder,
      });
      assertDatasetValid(check);
      const counted =
        check.tokens === null
          ? ''
          : `, ${check.tokens.toLocaleString('en')} tokens, ${(check.lossTokens ?? 0).toLocaleString('en')} of them learnt`;
      print(`${file}: ${check.rows.toLocaleString('en')} rows, format ${check.format}${counted}.`);
    });
}

import { loadConfig } from '@lowrank/config';
import { type BaseModel, type AdapterVersion } from '@lowrank/contracts';
import { greedy } from '@lowrank/training';
import { type Command } from 'commander';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { Conversation } from '../chat/conversation';
import { openLocalModel } from '../chat/local-model';
import { type Api } from '../client/api';
import { connect } from '../connect';
import { CliError, exitCodes } from '../errors';
import { decimal, whole } from '../option-values';
import { note, paint } from '../terminal';
import { parseVersionRef } from '../version-ref';

interface ChatOptions {
  adapter?: string;
  base?: string;
  prompt?: string;
  system?: string;
  temperature: number;
  topP: number;
  maxTokens: number;
  seed: number;
  compare?: boolean;
}

const help = `  /both     show the base's answer beside the adapter's, or stop doing so
  /reset    begin a new conversation
  /exit     leave (Ctrl-D does too); Ctrl-C ends an answer early`;

export function addChatCommand(program: Command): void {
  program
    .command('chat')
    .description('talk to an adapter or a bare base model; the answers are computed on this machine')
    .option(
      '--adapter <name[@version]>',
      'adapter, e.g. support, support@v3 or support@prod; without a version the latest',
    )
    .option('--base <name>', 'bare base model')
    .option('--prompt <text>', 'ask this once and end, instead of a conversation')
    .option('--system <text>', 'system message to begin with')
    .option('--temperature <t>', '0: always the likeliest token; higher: more varied', decimal, 0)
    .option('--top-p <p>', 'draw from the likeliest tokens that make up this share', decimal, 1)
    .option('--max-tokens <n>', 'longest answer', whole, 256)
    .option('--seed <n>', 'seed of the draws', whole, 0)
    .option('--compare', "show the base's answer beside the adapter's")
    .addHelpText('after', `\nIn a conversation:\n${help}`)
    .action(async (options: ChatOptions, command: Command) => {
      const api = connect(command);
      const { baseModel, version } = await choose(api, options);
      const { dataDir, threads } = loadConfig();
      const cacheDir = join(dataDir, 'cache');
      const model = await openLocalModel(api, { baseModel, version, cacheDir, threads });
      try {
        const { system, temperature, topP, maxTokens, seed, compare } = options;
        const conversation = new Conversation(model, {
          system,
          sampling: temperature === 0 ? greedy : { temperature, topP, topK: 0, seed: BigInt(seed) },
          maxTokens,
          compare: compare ?? false,
          write: (text) => void process.stdout.write(text),
        });
        if (options.prompt !== undefined) await askOnce(conversation, options.prompt);
        else await converse(conversation, nameOf(baseModel, version));
      } finally {
        model.close();
      }
    });
}

async function choose(
  api: Api,
  { adapter, base }: Pick<ChatOptions, 'adapter' | 'base'>,
): Promise<{ baseModel: BaseModel; version: AdapterVersion | null }> {
  if ((adapter === undefined) === (base === undefined)) {
    throw new CliError('name either --adapter or --base', {
      help: 'See what there is with: lowrank adapters, lowrank models',
      exitCode: exitCodes.usage,
    });
  }
  if (base !== undefined) return { baseModel: await api.baseModel(base), version: null };
  const ref = parseVersionRef(adapter ?? '');
  const version = await api.version(ref.adapter, ref.version ?? 'latest');
  return { baseModel: await api.baseModel(version.baseModel.name), version };
}

const nameOf = (baseModel: BaseModel, version: AdapterVersion | null): string =>
  version === null ? baseModel.name : `${version.adapter} v${version.number} on ${baseModel.name}`;

async function askOnce(conversation: Conversation, prompt: string): Promise<void> {
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  await conversation.ask(prompt, stop.signal);
  if (stop.signal.aborted) throw new CliError('stopped', { exitCode: exitCodes.interrupted });
}

async function converse(conversation: Conversation, name: string): Promise<void> {
  note(`${name}. /help shows the commands.`);
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  let answering: AbortController | null = null;
  // The first Ctrl-C ends the answer; while waiting for a question it ends the conversation.
  lines.on('SIGINT', () => (answering ? answering.abort() : lines.close()));
  lines.setPrompt(paint('bold', '> '));
  lines.prompt();
  for await (const line of lines) {
    const text = line.trim();
    if (text === '/exit') break;
    else if (text === '/help') note(help);
    else if (text === '/reset') conversation.reset();
    else if (text === '/both') {
      conversation.compare = !conversation.compare;
      note(conversation.compare ? 'Base and adapter.' : 'Adapter only.');
    } else if (text !== '') {
      answering = new AbortController();
      await conversation.ask(text, answering.signal);
      answering = null;
    }
    lines.prompt();
  }
  lines.close();
}

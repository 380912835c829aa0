import { type RecipeInput, recipeSchema } from '@lowrank/contracts';
import { type Command } from 'commander';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { CliError, exitCodes } from './errors';
import { number } from './option-values';

export interface RecipeOptions {
  recipe?: string;
  epochs?: number;
  steps?: number;
  rank?: number;
  dora?: boolean;
  rslora?: boolean;
  pissa?: boolean;
  optim8bit?: boolean;
  quantization?: string;
  lr?: number;
  sequenceLength?: number;
  rows?: number;
  seed?: number;
}

/** The options that shape a recipe; what they leave out, the server fills in. */
export const addRecipeOptions = (command: Command): Command =>
  command
    .option('--recipe <file.json>', 'recipe to start from; the options below override it')
    .option('--epochs <n>', 'passes over the data', number)
    .option('--steps <n>', 'optimizer steps, instead of epochs', number)
    .option('--quantization <format>', 'how the base is kept: nf4, fp4, int8, bf16 or f32')
    .option('--rank <n>', 'width of the low-rank update', number)
    .option('--dora', 'DoRA: a trained magnitude for each output')
    .option('--rslora', 'rsLoRA: scale by alpha over the root of the rank')
    .option('--pissa', 'PiSSA: start from the principal part of the weights')
    .option('--optim8bit', 'AdamW with 8-bit moments')
    .option('--lr <rate>', 'learning rate', number)
    .option('--sequence-length <tokens>', 'longest sequence, and length of a packed row', number)
    .option('--rows <n>', 'packed rows in a micro-batch', number)
    .option('--seed <n>', 'seed of everything random', number);

/** The recipe of a file and of options. Error: CliError naming every field at fault. */
export async function makeRecipe(options: RecipeOptions): Promise<RecipeInput> {
  const file = options.recipe === undefined ? {} : await readRecipeFile(options.recipe);
  const { epochs, steps, quantization, rank, lr, sequenceLength, rows, seed, dora, rslora: rsLora } = options;
  const init = options.pissa ? 'pissa' : undefined;
  const name = options.optim8bit ? 'adamw8bit' : undefined;
  const recipe = {
    ...file,
    base: { ...section(file.base), ...given({ quantization }) },
    lora: { ...section(file.lora), ...given({ rank, dora, rsLora, init }) },
    training: { ...section(file.training), ...given({ epochs, steps, sequenceLength, rows, seed }) },
    optimizer: { ...section(file.optimizer), ...given({ learningRate: lr, name }) },
  };
  const parsed = recipeSchema.safeParse(recipe);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `  ${path.join('.')}: ${message}`);
    throw new CliError(`the recipe is not valid:\n${problems.join('\n')}`, { exitCode: exitCodes.usage });
  }
  return recipe as RecipeInput;
}

const section = (value: unknown): object => (typeof value === 'object' && value !== null ? value : {});

const given = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

async function readRecipeFile(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new CliError(`cannot read the recipe ${path}: ${(cause as Error).message}`, {
      exitCode: exitCodes.usage,
      cause,
    });
  }
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  } catch (cause) {
    throw new CliError(`${path} is not a JSON object`, { exitCode: exitCodes.usage, cause });
  }
}

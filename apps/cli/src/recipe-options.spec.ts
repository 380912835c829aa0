import { Command } from 'commander';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addRecipeOptions, makeRecipe, type RecipeOptions } from './recipe-options';

describe('makeRecipe', () => {
  let folder: string;
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'lowrank-cli-'))));
  afterAll(() => rm(folder, { recursive: true }));

  const write = async (text: string): Promise<string> => {
    const file = join(folder, 'recipe.json');
    await writeFile(file, text);
    return file;
  };

  it('sends only what was given', async () => {
    expect(await makeRecipe({ epochs: 2, rank: 8, quantization: 'int8' })).toEqual({
      base: { quantization: 'int8' },
      lora: { rank: 8 },
      training: { epochs: 2 },
      optimizer: {},
    });
  });

  it('has a flag for each method', async () => {
    const flags = { dora: true, rslora: true, optim8bit: true };
    expect(await makeRecipe(flags)).toEqual({
      base: {},
      lora: { dora: true, rsLora: true },
      training: {},
      optimizer: { name: 'adamw8bit' },
    });
    expect(await makeRecipe({ pissa: true })).toMatchObject({ lora: { init: 'pissa' } });
    await expect(makeRecipe({ pissa: true, dora: true })).rejects.toThrow(/DoRA and PiSSA exclude/);
  });

  it('lets options override a file', async () => {
    const recipe = await write('{"lora": {"rank": 4, "dropout": 0.1}, "checkpoints": {"everySteps": 7}}');
    expect(await makeRecipe({ recipe, rank: 32, lr: 0.001 })).toEqual({
      base: {},
      lora: { rank: 32, dropout: 0.1 },
      training: {},
      optimizer: { learningRate: 0.001 },
      checkpoints: { everySteps: 7 },
    });
  });

  it.each([
    ['{"lora": {"rnak": 4}}', /lora.*rnak/],
    ['{"base": {"quantization": "int3"}}', /base\.quantization/],
    ['{"training": {"epochs": -1}}', /training\.epochs/],
    ['[1]', /not a JSON object/],
    ['{', /not a JSON object/],
  ])('says what is wrong with %s', async (text, message) => {
    await expect(makeRecipe({ recipe: await write(text) })).rejects.toThrow(message);
  });

  it('names a file that is not there', async () => {
    await expect(makeRecipe({ recipe: join(folder, 'none.json') })).rejects.toThrow(
      /cannot read.*none\.json/,
    );
  });

  it('parses numbers and refuses what is none', () => {
    const parse = (...args: string[]): RecipeOptions =>
      addRecipeOptions(new Command())
        .exitOverride()
        .configureOutput({ writeErr: () => undefined })
        .parse(args, { from: 'user' })
        .opts();
    expect(parse('--lr', '2e-4', '--rank', '16')).toEqual({ lr: 2e-4, rank: 16 });
    expect(() => parse('--rank', 'many')).toThrow(/must be a number/);
    expect(() => parse('--rank', '')).toThrow(/must be a number/);
  });
});

import { LowrankError } from '@lowrank/contracts';
import {
  codeOf,
  safetensorsBytes,
  tinyConfig,
  tinyDecoder,
  tinyTemplate,
  tinyTensors,
  tinyTokenizer,
  type TinyTensor,
} from '@lowrank/testing';
import { copyFile, mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspectModelFolder, type InspectOptions } from './model-folder';
import { change, sampleBase, temporaryFolder, tinyModel, type Changes } from './test/model-folders';

const weights = safetensorsBytes(tinyTensors());
const indexFile = 'model.safetensors.index.json';

const first = 'first.safetensors';
const second = 'second.safetensors';
const tensors = Object.entries(tinyTensors());
const part = (of: [string, TinyTensor][]): Buffer => safetensorsBytes(Object.fromEntries(of));
/** The tiny model's weights in two files, and what their index says. */
const shards = { [first]: part(tensors.slice(0, 9)), [second]: part(tensors.slice(9)) };
const shardOf = Object.fromEntries(tensors.map(([name], i) => [name, i < 9 ? first : second]));

describe('inspectModelFolder', () => {
  let top: string;
  let folder: string;
  beforeEach(async () => {
    top = await temporaryFolder();
    folder = await tinyModel(join(top, 'model'));
  });
  afterEach(() => rm(top, { recursive: true }));

  const refusal = async (options?: InspectOptions): Promise<[string, string]> => {
    const error = await inspectModelFolder(folder, options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(LowrankError);
    return [(error as LowrankError).code, (error as LowrankError).message];
  };
  const sharded = async (map: unknown, changes: Changes = {}) => {
    await change(folder, {
      'model.safetensors': null,
      ...shards,
      [indexFile]: { weight_map: map },
      ...changes,
    });
  };

  it('gives facts and files of a model, and leaves the rest behind', async () => {
    await change(folder, {
      'README.md': 'x',
      'optimizer.bin': 'x',
      'other.safetensors': 'x',
      'modeling.py': 'x',
      '.hidden': 'x',
    });
    await mkdir(join(folder, 'LICENSE'));
    const { files, ...facts } = await inspectModelFolder(folder);
    const parameters = Object.values(tinyTensors()).reduce((sum, { values }) => sum + values.length, 0);
    expect(facts).toEqual({
      modelType: 'llama',
      parameters,
      contextLength: 256,
      vocabSize: 259,
      decoder: tinyDecoder,
    });
    expect(files.map(({ path }) => path)).toEqual([
      'README.md',
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect(files[3]).toEqual({ path: 'model.safetensors', bytes: weights.length });
  });

  it('takes the sample base', async () => {
    expect(await inspectModelFolder(sampleBase)).toMatchObject({ modelType: 'llama', vocabSize: 1024 });
  });

  it('takes shards', async () => {
    const whole = await inspectModelFolder(folder);
    await sharded(shardOf, { 'third.safetensors': 'x' });
    const { files, ...facts } = await inspectModelFolder(folder);
    expect({ ...facts, files: whole.files }).toEqual(whole);
    const names = files.map(({ path }) => path);
    expect(names).toEqual(expect.arrayContaining([indexFile, 'first.safetensors', 'second.safetensors']));
    expect(names).not.toContain('third.safetensors');
  });

  const metal = { vocab: tinyConfig.vocab_size, hidden: tinyConfig.hidden_size };
  const without = (...names: string[]) =>
    safetensorsBytes(
      Object.fromEntries(Object.entries(tinyTensors()).filter(([name]) => !names.includes(name))),
    );
  const reshaped = safetensorsBytes({
    ...tinyTensors(),
    'model.embed_tokens.weight': {
      shape: [metal.hidden, metal.vocab],
      values: new Float32Array(metal.vocab * metal.hidden),
    },
  });
  /** The same weights under a dtype of the same width. */
  const integers = Buffer.from(weights.toString('latin1').replace('"F32"', '"I32"'), 'latin1');

  it.each<[string, Changes, string, RegExp]>([
    ['no config', { 'config.json': null }, 'base_model_invalid', /no config\.json/],
    ['a config that is not JSON', { 'config.json': '{' }, 'base_model_invalid', /config\.json is not JSON/],
    [
      'an unknown model_type',
      { 'config.json': { model_type: 'rwkv' } },
      'base_model_unsupported',
      /config\.json: model_type "rwkv"/,
    ],
    ['no tokenizer', { 'tokenizer.json': null }, 'base_model_invalid', /no tokenizer\.json/],
    ['a broken tokenizer', { 'tokenizer.json': '{' }, 'base_model_invalid', /tokenizer\.json is not JSON/],
    ['no template', { 'tokenizer_config.json': '{}' }, 'base_model_invalid', /no chat template/],
    [
      'a template that throws',
      { 'chat_template.jinja': "{{ raise_exception('no') }}" },
      'base_model_invalid',
      /chat template fails: no/,
    ],
    [
      'a template that marks the last message',
      { 'chat_template.jinja': `{{ messages | length }}${tinyTemplate}` },
      'base_model_invalid',
      /template rewrites earlier text/,
    ],
    [
      'ids beyond the vocabulary',
      { 'tokenizer.json': { ...tinyTokenizer, added_tokens: [{ id: 259, content: '<x>', special: true }] } },
      'base_model_invalid',
      /tokenizer\.json has ids up to 259, config\.json a vocab_size of 259/,
    ],
    ['no weights', { 'model.safetensors': null }, 'base_model_invalid', /neither model\.safetensors nor/],
    [
      'weights cut off',
      { 'model.safetensors': weights.subarray(0, -1) },
      'base_model_invalid',
      /^model\.safetensors.*truncated/,
    ],
    [
      'a header larger than the file',
      { 'model.safetensors': weights.subarray(0, 50) },
      'base_model_invalid',
      /^model\.safetensors: a header of/,
    ],
    [
      'a missing tensor',
      { 'model.safetensors': without('model.norm.weight') },
      'base_model_invalid',
      /lack the tensor 'model\.norm\.weight'/,
    ],
    [
      'another shape',
      { 'model.safetensors': reshaped },
      'base_model_invalid',
      /shape \[32,259\], config\.json asks for \[259,32\]/,
    ],
    [
      'whole numbers as weights',
      { 'model.safetensors': integers },
      'base_model_unsupported',
      /dtype I32; supported: F32, F16, BF16/,
    ],
  ])('refuses %s', async (_case, changes, code, message) => {
    await change(folder, changes);
    expect(await refusal()).toEqual([code, expect.stringMatching(message)]);
  });

  it.each(['pytorch_model.bin', 'model.pt', 'model.pth', 'last.ckpt', 'weights.pkl'])(
    'refuses pickled weights: %s',
    async (name) => {
      await change(folder, { 'model.safetensors': null, [name]: 'x' });
      expect(await refusal()).toEqual(['pickle_refused', expect.stringContaining(`(${name})`)]);
    },
  );

  it.each<[string, unknown, Changes, RegExp]>([
    ['without weight_map', undefined, {}, /index\.json has no weight_map/],
    ['with a list', ['first.safetensors'], {}, /index\.json has no weight_map/],
    ['that is not JSON', {}, { [indexFile]: '{' }, /index\.json is not JSON/],
    ['of nothing', {}, {}, /lack the tensor/],
    [
      'naming a missing file',
      { a: 'third.safetensors' },
      {},
      /index\.json names "third\.safetensors", which is not/,
    ],
    [
      'leaving the folder',
      { a: '../outside.safetensors' },
      {},
      /names "\.\.\/outside\.safetensors", which is not/,
    ],
    ['with an absolute path', { a: '/etc/passwd' }, {}, /names "\/etc\/passwd"/],
    ['naming a pickle', { a: 'a.bin' }, { 'a.bin': 'x' }, /names "a\.bin"/],
    ['naming a number', { a: 7 }, {}, /names 7/],
    ['naming an own member of objects', { a: '__proto__' }, {}, /names "__proto__"/],
    [
      'with a wrong place',
      { ...shardOf, 'model.norm.weight': 'first.safetensors' },
      {},
      /'model\.norm\.weight' is in first\.safetensors, where it is not/,
    ],
    [
      'with a tensor that is nowhere',
      { ...shardOf, a: 'first.safetensors' },
      {},
      /'a' is in first\.safetensors/,
    ],
    [
      'to a shard cut off',
      shardOf,
      { 'second.safetensors': part(tensors.slice(9)).subarray(0, -4) },
      /^second\.safetensors/,
    ],
    [
      'to a tensor that is there twice',
      shardOf,
      { 'second.safetensors': weights },
      /^second\.safetensors: tensor .* also in another shard/,
    ],
    [
      'to too many shards',
      Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, `${i}.safetensors`])),
      {},
      /more than 1024 shards/,
    ],
  ])('refuses an index %s', async (_case, map, changes, message) => {
    await writeFile(join(top, 'outside.safetensors'), weights);
    await sharded(map, changes);
    expect(await refusal()).toEqual(['base_model_invalid', expect.stringMatching(message)]);
  });

  it.each([
    'tokenizer_config.json',
    'chat_template.jinja',
    'generation_config.json',
    'config.json',
    'tokenizer.json',
  ])('refuses %s of more bytes than it reads', async (name) => {
    await change(folder, { [name]: '{}' });
    await truncate(join(folder, name), (128 << 20) + 1);
    expect(await refusal()).toEqual([
      'base_model_invalid',
      expect.stringContaining(`${name} has ${(128 << 20) + 1} bytes`),
    ]);
  });

  describe('links', () => {
    const linkFile = async (name: string, target: string) => {
      await mkdir(join(top, 'outside'), { recursive: true });
      await rename(join(folder, name), join(top, 'outside', name));
      await symlink(target, join(folder, name));
    };

    it.each(['config.json', 'model.safetensors', 'tokenizer.json'])(
      'refuses %s outside of the folder',
      async (name) => {
        await linkFile(name, join(top, 'outside', name));
        expect(await refusal()).toEqual([
          'import_path_refused',
          expect.stringContaining(`${name} is a link`),
        ]);
        expect((await inspectModelFolder(folder, { roots: [join(top, 'outside')] })).vocabSize).toBe(259);
      },
    );

    it('refuses a folder whose name begins like an allowed one', async () => {
      await linkFile('config.json', join(top, 'outside/config.json'));
      await mkdir(join(top, 'out'));
      expect((await refusal({ roots: [join(top, 'out')] }))[0]).toBe('import_path_refused');
    });

    it('follows links inside the folder, by any number of steps', async () => {
      await mkdir(join(folder, 'blobs'));
      await copyFile(join(folder, 'config.json'), join(folder, 'blobs/abc'));
      await rm(join(folder, 'config.json'));
      await symlink('blobs/abc', join(folder, 'step'));
      await symlink('step', join(folder, 'config.json'));
      expect((await inspectModelFolder(folder)).vocabSize).toBe(259);
    });

    it('refuses a link to nothing, and to itself', async () => {
      await symlink('nowhere', join(folder, 'README.md'));
      expect(await refusal()).toEqual(['base_model_invalid', 'README.md is a link to nothing']);
      await rm(join(folder, 'README.md'));
      await symlink('LICENSE', join(folder, 'LICENSE'));
      expect(await refusal()).toEqual(['base_model_invalid', 'LICENSE is a link to nothing']);
    });

    it('does not look at links that it leaves behind', async () => {
      await symlink('/', join(folder, 'anything'));
      expect((await inspectModelFolder(folder)).vocabSize).toBe(259);
    });
  });

  it('names a folder that is none', async () => {
    folder = join(top, 'none');
    expect(await refusal()).toEqual([
      'base_model_invalid',
      expect.stringContaining('none is not a readable folder'),
    ]);
    folder = join(top, 'model/config.json');
    expect(await refusal()).toEqual(['base_model_invalid', expect.stringContaining('not a readable folder')]);
  });

  describe('with a tokenizer that takes ages', () => {
    beforeEach(() =>
      change(folder, {
        'tokenizer.json': {
          ...tinyTokenizer,
          pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+!' }, behavior: 'Isolated', invert: false },
        },
        'chat_template.jinja': `${'a'.repeat(100)}${tinyTemplate}`,
      }),
    );

    it('gives up after its time', async () => {
      expect(await refusal({ tokenizerMs: 300 })).toEqual([
        'base_model_invalid',
        expect.stringContaining('longer than 300 ms'),
      ]);
    });

    it('stops when it is told to', async () => {
      const stop = new AbortController();
      const inspecting = inspectModelFolder(folder, { signal: stop.signal });
      setTimeout(() => stop.abort(new LowrankError('conflict', 'stopped')), 300);
      expect(await codeOf(inspecting)).toBe('conflict');
    });
  });
});

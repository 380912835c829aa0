import { type AdapterVersion, type JobDetail, type Lineage } from '@lowrank/contracts';
import { safetensorsBytes, tinyConfig, type TinyTensor } from '@lowrank/testing';
import { TestApi } from '../test/api';

const path = '/api/v1/adapters/helper/versions';
const { hidden_size: hidden } = tinyConfig;
const config = {
  ...{ peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 2, lora_alpha: 4, lora_dropout: 0.1, bias: 'none' },
  ...{
    target_modules: ['q_proj', 'o_proj'],
    layers_to_transform: [1],
    base_model_name_or_path: 'somewhere/tiny',
  },
  ...{
    modules_to_save: null,
    rank_pattern: { o_proj: 3 },
    use_rslora: false,
    use_dora: false,
    peft_version: '9',
  },
};
const tensor = (...shape: number[]): TinyTensor => ({
  shape,
  values: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i / 100),
});
const tensors = (): Record<string, TinyTensor> =>
  Object.fromEntries(
    [
      ['q_proj', 2],
      ['o_proj', 3],
    ].flatMap(([name, rank]) => {
      const prefix = `base_model.model.model.layers.1.self_attn.${name}`;
      return [
        [`${prefix}.lora_A.weight`, tensor(rank as number, hidden)],
        [`${prefix}.lora_B.weight`, tensor(hidden, rank as number)],
      ];
    }),
  );

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
});
afterAll(() => api.close());

interface Folder {
  config?: unknown;
  weights?: Record<string, TinyTensor> | Uint8Array;
  fields?: Record<string, string>;
  extra?: string;
}
function form({
  config: said = config,
  weights = tensors(),
  fields = { baseModel: 'tiny' },
  extra,
}: Folder): FormData {
  const body = new FormData();
  const bytes = weights instanceof Uint8Array ? weights : safetensorsBytes(weights);
  body.append('file', new Blob([JSON.stringify(said)]), 'adapter_config.json');
  body.append('file', new Blob([bytes as Uint8Array<ArrayBuffer>]), 'adapter_model.safetensors');
  if (extra !== undefined) body.append('file', new Blob(['x']), extra);
  for (const [name, value] of Object.entries(fields)) body.set(name, value);
  return body;
}
const upload = (folder: Folder = {}) => api.call<AdapterVersion>('POST', path, 201, { body: form(folder) });

it("makes a folder in PEFT's format a version without job and dataset, with its own files", async () => {
  const version = await upload({ extra: 'README.md', fields: { baseModel: 'tiny', quantization: 'f32' } });
  expect(version).toMatchObject({
    ...{ adapter: 'helper', number: 1, jobId: null, dataset: null, parents: [], baseModel: { name: 'tiny' } },
    recipe: {
      base: { quantization: 'f32' },
      lora: { rank: 2, alpha: 4, targets: ['q_proj', 'o_proj'], layers: [1], rankPattern: { o_proj: 3 } },
    },
  });
  expect(version.templateSha256).toMatch(/^[0-9a-f]{64}$/);
  expect(version.files.map((file) => file.path)).toEqual([
    'README.md',
    'adapter_config.json',
    'adapter_model.safetensors',
  ]);
  const file = await api.fetch('GET', `${path}/v1/files/adapter_model.safetensors`);
  expect(Buffer.from(await file.arrayBuffer()).equals(Buffer.from(safetensorsBytes(tensors())))).toBe(true);
  expect(await api.staged()).toEqual([]);
  const { nodes } = await api.call<Lineage>('GET', `${path}/v1/lineage`, 200);
  expect(nodes.map(({ type }) => type)).toEqual(['version', 'baseModel']);
  expect(await api.call('GET', '/api/v1/adapters/helper/card', 200)).toMatchObject({
    text: expect.stringContaining('not known: it was imported') as string,
  });
  const info = await api.call<{ sha: string }>('GET', '/api/models/test/helper', 200);
  expect(info.sha).toBe(version.revision);
});

it('is trained on, exported and evaluated like any other, with a dataset that is named', async () => {
  const { number } = await upload();
  const { id: dataset } = await api.upload();
  const trained = { baseModel: 'tiny', dataset, adapter: 'next', initFrom: `helper@v${number}` };
  const recipe = { training: { sequenceLength: 64 } };
  const job = await api.call<JobDetail>('POST', '/api/v1/jobs', 201, { json: { ...trained, recipe } });
  expect(job).toMatchObject({ initFrom: { adapter: 'helper' }, recipe: { lora: { rank: 2, layers: [1] } } });
  const exports = `${path}/v${number}/exports`;
  expect(await api.refusal('POST', exports, { json: { format: 'merged' } })).toMatchObject({
    ...{ status: 400, code: 'validation_failed', details: [{ path: 'dataset' }] },
  });
  await api.call('POST', exports, 201, { json: { format: 'merged', dataset } });
  const measured = { dataset, measures: [{ metric: 'loss' }] };
  await api.call('POST', `${path}/v${number}/evaluations`, 201, { json: measured });
});

const without = (name: string) =>
  Object.fromEntries(Object.entries(tensors()).filter(([key]) => !key.endsWith(name)));
it.each<[string, Folder, number, string, RegExp]>([
  [
    'a tensor is missing',
    { weights: without('o_proj.lora_B.weight') },
    422,
    'adapter_invalid',
    /o_proj\.lora_B\.weight is missing/,
  ],
  [
    'a tensor has no place',
    { weights: { ...tensors(), 'base_model.model.lm_head.lora_A.weight': tensor(2, 2) } },
    422,
    'adapter_invalid',
    /tiny has no place for base_model\.model\.lm_head/,
  ],
  [
    'a rank is another',
    { config: { ...config, rank_pattern: {} } },
    422,
    'adapter_invalid',
    /has shape \[3, 32\], tiny needs \[2, 32\]/,
  ],
  [
    'layers are not there',
    { config: { ...config, layers_to_transform: [7] } },
    422,
    'adapter_invalid',
    /7 is no layer/,
  ],
  [
    'modules are not there',
    { config: { ...config, target_modules: ['c_attn'] } },
    422,
    'adapter_invalid',
    /c_attn is no linear layer/,
  ],
  ['it is no LoRA', { config: { ...config, peft_type: 'IA3' } }, 422, 'adapter_invalid', /peft_type/],
  [
    'it trains other modules',
    { config: { ...config, modules_to_save: ['lm_head'] } },
    422,
    'adapter_invalid',
    /modules_to_save/,
  ],
  [
    'it is no safetensors file',
    { weights: Buffer.from('PK\x03\x04 not a header') },
    422,
    'adapter_invalid',
    /header/,
  ],
  ['it may be a pickle', { extra: 'adapter_model.bin' }, 422, 'pickle_refused', /adapter_model\.bin/],
  [
    'there is no place for a file',
    { extra: 'optimizer.safetensors' },
    400,
    'validation_failed',
    /optimizer\.safetensors/,
  ],
  ['its base model is not there', { fields: { baseModel: 'none' } }, 404, 'not_found', /none/],
  ['its base model is not named', { fields: {} }, 400, 'validation_failed', /fields/],
])('refuses a folder when %s', async (_what, folder, status, code, message) => {
  const refused = await api.refusal('POST', path, { body: form(folder) });
  expect(refused).toMatchObject({ status, code, message: expect.stringMatching(message) as string });
  expect(await api.staged()).toEqual([]);
});

it('stays with the base model of its adapter', async () => {
  await api.importTiny('other');
  const refused = await api.refusal('POST', path, { body: form({ fields: { baseModel: 'other' } }) });
  expect(refused).toMatchObject({ status: 409, code: 'conflict' });
});

import { type DeviceEstimate, type Estimate } from '@lowrank/contracts';
import { makeEstimate } from '@lowrank/testing';
import { deviceRows, figures, proposalLines, serverRows, summary } from './estimate-view';

const device = (changes: Partial<DeviceEstimate> = {}): DeviceEstimate => ({
  deviceClass: 'cpu',
  workers: 2,
  memoryBytes: 16e9,
  fits: true,
  reason: null,
  seconds: 3700,
  tokensPerSecond: 1234.5,
  basis: 'base-model',
  measuredJobs: 1,
  ...changes,
});
const data: Estimate['data'] = {
  rows: 7100,
  heldOutRows: 373,
  truncatedRows: 0,
  droppedRows: 0,
  sequences: 7100,
  heldOutSequences: 373,
  packedRows: 2340,
  fill: 0.968,
  tokensPerEpoch: 1_160_000,
  lossTokensPerEpoch: 800_000,
  stepsPerEpoch: 585,
  steps: 1755,
  tokens: 3_480_000,
  lossTokens: 2_400_000,
  lengths: [
    { upTo: 128, sequences: 4000 },
    { upTo: 256, sequences: 3100 },
  ],
};

it('says what the data become', () => {
  expect(figures(makeEstimate({ data }))).toEqual([
    ['rows', '7,100 rows to train on, 373 held out'],
    ['packing', '7,100 sequences in 2,340 rows, 97 % full'],
    ['lengths', '4,000 up to 128, 3,100 up to 256'],
    ['steps', '1,755, 585 an epoch'],
    ['tokens', '3,480,000, 1,160,000 an epoch; 2,400,000 of them learnt'],
    ['memory', '4.5 GB at its peak: base 3 GB, gradients 1.5 GB, …'],
  ]);
  expect(figures(makeEstimate({ data: null, memory: null }))).toEqual([]);
});

it('sums up what is known', () => {
  const devices = [device(), device({ deviceClass: 'h100', seconds: 60 }), device({ fits: false })];
  expect(summary(makeEstimate({ data, devices }))).toBe(
    '1,755 steps on 3,480,000 tokens, 4.5 GB of memory, about 1 h 1 min on cpu or 1 min 0 s on h100',
  );
  expect(summary(makeEstimate({ data: { ...data, steps: 1 }, memory: null }))).toBe(
    '1 step on 3,480,000 tokens',
  );
  expect(summary(makeEstimate())).toBeNull();
});

it.each<[Partial<DeviceEstimate>, string[]]>([
  [{}, ['cpu', '2', '16 GB', 'yes', '1 h 1 min, 1,235 tokens/s (from 1 job on this base model)']],
  [
    { basis: 'similar-models', measuredJobs: 7 },
    ['cpu', '2', '16 GB', 'yes', '1 h 1 min, 1,235 tokens/s (from 7 jobs on models of a similar size)'],
  ],
  [
    { seconds: null, basis: null, tokensPerSecond: null, memoryBytes: 0 },
    ['cpu', '2', '–', 'yes', 'unknown: nothing has been measured there yet'],
  ],
  [{ fits: false, reason: 'too small' }, ['cpu', '2', '16 GB', 'no', 'too small']],
])('a device %j', (changes, expected) => expect(deviceRows([device(changes)])).toEqual([expected]));

it('names servers, and what would help', () => {
  expect(serverRows(makeEstimate().servability)).toEqual([
    ['PEFT', 'yes', ''],
    ['vLLM', 'yes', ''],
    ['LoRAX', 'no', 'no'],
    ['llama.cpp', 'yes', ''],
  ]);
  const changes = { 'recipe.training.rows': 1, 'recipe.training.accumulation': 8 };
  expect(proposalLines(makeEstimate({ proposals: [{ changes, bytes: 2e9 }] }))).toEqual([
    'recipe.training.rows 1, recipe.training.accumulation 8: 2 GB',
  ]);
});

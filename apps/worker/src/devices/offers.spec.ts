import { type GpuFacts, type GpuReport } from '@lowrank/contracts';
import { classOf, environmentOf, type Offer, offersOf, type Wishes } from './offers';

const host = { processor: 'AMD EPYC', memoryBytes: 2 ** 36 };
const wishes: Wishes = { gpus: 'auto', deviceClass: null, memoryBytes: null, slots: 1, threads: 9 };
const gpu = (index: number, facts: Partial<GpuFacts> = {}): GpuFacts => ({
  ...{ index, uuid: `GPU-${index}`, name: 'NVIDIA H100 80GB HBM3', computeCapability: '9.0' },
  ...{ memory: { total: 2 ** 37 + index, used: 1 }, utilisationPercent: null, temperature: null },
  ...facts,
});
const report = (...gpus: GpuFacts[]): GpuReport => ({ gpus, failing: [], problem: null });
const cpu = {
  device: 'cpu AMD EPYC',
  deviceClass: 'cpu',
  memoryBytes: 2 ** 36,
  slots: 1,
  threads: 9,
  gpus: [],
};

describe('what a process offers', () => {
  it('is its processors where there is no GPU, or none is wanted', () => {
    expect(offersOf(wishes, report(), host)).toEqual({ offers: [cpu], warnings: [] });
    expect(offersOf({ ...wishes, gpus: 'off' }, null, host)).toEqual({ offers: [cpu], warnings: [] });
    const told = { ...wishes, deviceClass: 'big', memoryBytes: 5, slots: 3 };
    expect(offersOf(told, report(), host).offers).toEqual([
      { ...cpu, deviceClass: 'big', memoryBytes: 5, slots: 3 },
    ]);
  });

  it('is each GPU with its own memory, one slot and its part of the threads', () => {
    const { offers, warnings } = offersOf(wishes, report(gpu(0), gpu(1, { name: 'Tesla T4' })), host);
    expect(warnings).toEqual([]);
    expect(offers).toMatchObject([
      { device: 'NVIDIA H100 80GB HBM3 GPU-0', deviceClass: 'h100-80gb-hbm3', memoryBytes: 2 ** 37 },
      { device: 'Tesla T4 GPU-1', deviceClass: 't4', memoryBytes: 2 ** 37 + 1, slots: 1, threads: 4 },
    ]);
    expect(offers.map(environmentOf)).toEqual([
      { LOWRANK_DEVICE: 'cuda', CUDA_VISIBLE_DEVICES: 'GPU-0' },
      { LOWRANK_DEVICE: 'cuda', CUDA_VISIBLE_DEVICES: 'GPU-1' },
    ]);
    expect(environmentOf({ ...cpu })).toEqual({ LOWRANK_DEVICE: 'cpu' });
  });

  it('is those GPUs that are named, by number or UUID', () => {
    const gpus = ['GPU-2', '0'];
    const { offers } = offersOf({ ...wishes, gpus }, report(gpu(0), gpu(1), gpu(2)), host);
    expect(offers.map((offer) => offer.gpus.map(({ index }) => index))).toEqual([[2], [0]]);
    expect(() => offersOf({ ...wishes, gpus: ['3'] }, report(gpu(0)), host)).toThrow(
      'LOWRANK_GPUS names 3; those that can be used: 0 (GPU-0).',
    );
  });

  it('is GPUs that train together, where names have a + between', () => {
    const seen = report(gpu(0), gpu(1), gpu(2), gpu(3, { name: 'Tesla T4' }));
    const { offers } = offersOf({ ...wishes, gpus: ['2', '1+GPU-0'] }, seen, host);
    expect(offers).toMatchObject([
      { device: 'NVIDIA H100 80GB HBM3 GPU-2', threads: 4 },
      {
        ...{ device: '2 × NVIDIA H100 80GB HBM3 GPU-1+GPU-0', deviceClass: '2x-h100-80gb-hbm3' },
        ...{ memoryBytes: 2 ** 37, slots: 1, threads: 4 },
      },
    ]);
    expect(environmentOf(offers[1] as Offer)).toEqual({
      ...{ LOWRANK_DEVICE: 'cuda', CUDA_VISIBLE_DEVICES: 'GPU-1', LOWRANK_RANKS: 'GPU-1,GPU-0' },
    });
    const refusal = (...gpus: string[]) => expect(() => offersOf({ ...wishes, gpus }, seen, host));
    refusal('0+3').toThrow(
      'LOWRANK_GPUS has 0+3 train together, which are NVIDIA H100 80GB HBM3 and Tesla T4.',
    );
    refusal('0+1', 'GPU-1').toThrow('LOWRANK_GPUS names GPU 1 (GPU-1) twice.');
    refusal('0+7').toThrow('LOWRANK_GPUS names 7;');
  });

  it('leaves out GPUs that are too old or do not answer, and says so', () => {
    const failing = [{ index: 1, message: 'off the bus' }];
    const seen = { ...report(gpu(0, { computeCapability: '7.5' }), gpu(2)), failing };
    expect(offersOf(wishes, seen, host)).toMatchObject({
      offers: [{ gpus: [{ index: 2 }] }],
      warnings: [/GPU 1 cannot be used: off the bus/, /GPU 0 .*compute capability is 7.5, 8.0 is needed/].map(
        (text) => expect.stringMatching(text),
      ),
    });
  });

  it('is the processors, with a warning, where the GPUs cannot be used, and an error where they were asked for', () => {
    const seen = { ...report(gpu(0)), problem: 'no kernels' };
    expect(offersOf(wishes, seen, host)).toEqual({
      offers: [cpu],
      warnings: ['1 GPU(s) cannot be used: no kernels; it trains on the CPU'],
    });
    for (const gpus of ['all' as const, ['0']])
      expect(() => offersOf({ ...wishes, gpus }, seen, host)).toThrow(
        /1 GPU\(s\) cannot be used: no kernels/,
      );
    expect(() => offersOf({ ...wishes, gpus: 'all' }, report(), host)).toThrow(/LOWRANK_GPUS is all/);
  });
});

it.each([
  ['NVIDIA H100 80GB HBM3', '9.0', 'h100-80gb-hbm3'],
  ['NVIDIA A100-SXM4-40GB', '8.0', 'a100-sxm4-40gb'],
  ['NVIDIA GeForce RTX 4090', '8.9', 'rtx-4090'],
  ['Tesla T4', '7.5', 't4'],
  [
    'NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition',
    '12.0',
    'rtx-pro-6000-blackwell-max-q-workstation',
  ],
  ['NVIDIA Graphics', '12.0', 'sm-120'],
])('calls the class of %s (%s) %s', (name, computeCapability, expected) => {
  expect(classOf({ name, computeCapability })).toBe(expected);
});

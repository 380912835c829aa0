import { type SweepTrial, type SweepWithTrials } from '@lowrank/contracts';
import { describeSweep, sweepTable } from './sweep-table';

const trial = (number: number, fields: Partial<SweepTrial>): SweepTrial => ({
  ...{
    number,
    jobId: `job_${number}`,
    parameters: { 'lora.rank': 2 ** number, 'optimizer.schedule': 'linear' },
  },
  ...{ state: 'queued', step: 0, totalSteps: null, latest: null, best: null, rung: null, stoppedEarly: null },
  ...{ result: null, version: null },
  ...fields,
});

const sweep = (fields: Partial<SweepWithTrials>): SweepWithTrials => ({
  ...{ id: 'swp_1', state: 'running', adapter: 'captain', metric: 'loss', promoted: null, recipe: {} },
  ...{ trialCount: 3, finishedCount: 2, cancelRequested: false, maxConcurrent: null },
  method: { type: 'grid' },
  space: { 'lora.rank': { values: [2, 4, 8] }, 'optimizer.schedule': { values: ['linear'] } },
  baseModel: { id: 'base_1', name: 'tiny', revision: '' },
  dataset: { id: 'data_1', filename: 'chats.jsonl', sha256: '' },
  validationDataset: null,
  ...{ createdAt: '2026-01-01T00:00:00.000Z', finishedAt: null },
  trials: [
    trial(1, {
      ...{ state: 'succeeded', step: 90, totalSteps: 90, rung: 2, version: 3 },
      ...{ latest: { step: 90, loss: 1.5, accuracy: 0.5 }, best: { step: 60, loss: 1.25, accuracy: 0.5 } },
      result: { loss: 1.5, accuracy: 0.5 },
    }),
    trial(2, {
      ...{ state: 'cancelled', step: 31, totalSteps: 90, rung: 1 },
      stoppedEarly: { rung: 1, step: 30, value: 2, needed: 1.75 },
      ...{ latest: { step: 30, loss: 2, accuracy: 0.25 }, best: { step: 30, loss: 2, accuracy: 0.25 } },
    }),
    trial(3, {}),
  ],
  ...fields,
});

it('shows what varies, how far each trial is and how good', () => {
  expect(sweepTable(sweep({}))).toEqual({
    head: ['TRIAL', 'lora.rank', 'optimizer.schedule', 'STATE', 'STEP', 'LAST LOSS', 'BEST LOSS', ''],
    rows: [
      ['1', '2', 'linear', 'succeeded', '90/90', '1.5000', '1.2500', 'v3'],
      ['2', '4', 'linear', 'cancelled', '31/90', '2.0000', '2.0000', 'stopped early at rung 1'],
      ['3', '8', 'linear', 'queued', '0/–', '–', '–', ''],
    ],
  });
  const { rows } = sweepTable(sweep({ metric: 'accuracy', promoted: { trial: 1, version: 3 } }));
  expect(rows[0]?.slice(5)).toEqual(['50.0%', '50.0%', 'promoted: v3']);
});

it('says what a sweep has come to', () => {
  expect(describeSweep(sweep({}))).toBe('Sweep swp_1: 2 of 3 trials over.');
  expect(describeSweep(sweep({ state: 'failed' }))).toBe('Sweep swp_1 is failed: nothing was promoted.');
  expect(describeSweep(sweep({ state: 'succeeded', promoted: { trial: 1, version: 3 } }))).toBe(
    'Trial 1 (lora.rank=2 optimizer.schedule=linear), held-out loss 1.5000, is captain v3.',
  );
});

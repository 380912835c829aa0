import {
  createEvaluationSchema,
  type CreateEvaluationInput,
  type Evaluation,
  type EvaluationManifest,
  setGateSchema,
  type SetGateInput,
} from '@lowrank/contracts';
import { claimAttempt } from '../attempts/claim-attempt';
import { reportPhase } from '../attempts/report-progress';
import { moveAlias, rollBackAlias } from '../catalog/aliases';
import { compareVersions } from '../catalog/compare-versions';
import { deleteDataset } from '../catalog/delete-dataset';
import { deleteVersion } from '../catalog/deletion';
import { type Deed } from '../ports/audit';
import { team, World } from '../test/world';
import { removeGate, setGate } from './gates';
import { publishEvaluation } from './publish-evaluation';
import { standingOf } from './standing';
import { submitEvaluation } from './submit-evaluation';

const actor = 'key_aaaaaaaaaaaaaaaaaaaaaaaa';
const prod = { adapter: 'captain', alias: 'prod', actor };
const deed: Deed = {
  ...{ teamId: team, action: 'jobs.submit', requestId: 'req-1' },
  actor: { type: 'key', id: actor, name: 'ci' },
};
const exact = { metric: 'exact-match' as const, ignoreCase: false };

describe('a gate', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    for (let i = 0; i < 3; i++) await world.publish();
  });

  const gateOf = (request: Partial<SetGateInput> = {}) =>
    setGate(
      world,
      team,
      prod,
      setGateSchema.parse({
        dataset: world.datasetId,
        checks: [
          { measure: { metric: 'loss' }, threshold: 1.5 },
          { measure: { metric: 'exact-match' }, threshold: 0.8 },
        ],
        ...request,
      }),
    );
  const submit = (version: string, request: CreateEvaluationInput = { alias: 'prod' }) =>
    submitEvaluation(
      world,
      team,
      { adapter: 'captain', version },
      createEvaluationSchema.parse(request),
      deed,
    );
  const manifestOf = (jobId: string, loss: number, share: number): EvaluationManifest => {
    const { work } = world.job(jobId);
    if (work.kind !== 'evaluate') throw new Error('no evaluation');
    const results = work.settings.measures.map((measure) => ({
      ...{ measure, count: 40, failures: [] },
      value: measure.metric === 'loss' ? loss : share,
    }));
    return { format: 1, jobId, epoch: 1, versionId: work.version.id, rows: 40, results };
  };
  /** A job's trainer comes to these values. */
  const evaluated = async ({ id: jobId, epoch }: { id: string; epoch: number }, loss = 1, share = 0.9) => {
    await claimAttempt(world, { jobId, epoch }, 'wrk_1');
    for (const phase of ['running', 'publishing'] as const) await reportPhase(world, { jobId, epoch }, phase);
    return publishEvaluation(world, { jobId, epoch }, manifestOf(jobId, loss, share));
  };
  const move = (version: string) => moveAlias(world, team, prod, { version });
  const refusal = (work: Promise<unknown>) =>
    work.then(
      () => 'none',
      (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
    );
  const standsOn = () => world.tables.aliases.find(({ name }) => name === 'prod')?.version ?? null;
  const lastMessage = (jobId: string) => world.tables.events.findLast((one) => one.jobId === jobId)?.message;

  it('refuses a version that was not evaluated, or does not pass, and says what is missing', async () => {
    await gateOf();
    expect(await refusal(move('v1'))).toBe(
      "gate_not_passed: captain v1 has not been evaluated for the gate of alias 'prod' (chats.jsonl): " +
        'loss is not measured, needed is at most 1.5; exact-match is not measured, needed is at least 0.8.',
    );
    await evaluated(await submit('v1'), 1.25, 0.625);
    expect(await refusal(move('v1'))).toBe(
      "gate_not_passed: captain v1 does not pass the gate of alias 'prod' (chats.jsonl): " +
        'exact-match 0.625, needed is at least 0.8.',
    );
    expect(standsOn()).toBeNull();
    await evaluated(await submit('v1'));
    expect(await move('v1')).toMatchObject({ version: 1 });
    expect(world.tables.aliasMoves).toMatchObject([{ to: 1, gate: 'passed' }]);
    await removeGate(world, team, prod);
    await move('v3');
    expect(world.tables.aliasMoves.at(-1)).toMatchObject({ to: 3, gate: null });
  });

  it('asks for a new evaluation when rows or settings change, not when a threshold does', async () => {
    await gateOf();
    await evaluated(await submit('v1'), 1.25, 0.9);
    await gateOf({ checks: [{ measure: { metric: 'loss' }, threshold: 1.3 }] });
    expect(await refusal(move('v1'))).toBe('none');
    await gateOf({ limits: { maxRows: 10 } });
    expect(await refusal(move('v2'))).toMatch('has not been evaluated');
    expect(await refusal(moveAlias(world, team, { ...prod, alias: 'free' }, { version: 'v2' }))).toBe('none');
    const gate = world.tables.gates[0] as NonNullable<(typeof world.tables.gates)[0]>;
    const evaluation = world.tables.evaluations[0] as Evaluation;
    const standing = (other: Partial<Evaluation>) =>
      standingOf(gate, [{ ...evaluation, limits: gate.limits, ...other }]).map(({ passed }) => passed);
    expect(standing({})).toEqual([true, true]);
    expect(standing({ dataset: { ...evaluation.dataset, sha256: '0'.repeat(64) } })).toEqual([false, false]);
    // The same rows under another name, and fields in another order, as a database gives them back.
    const { maxRows, ...limits } = gate.limits;
    expect(standing({ dataset: { ...evaluation.dataset, id: 'x' }, limits: { ...limits, maxRows } })).toEqual(
      [true, true],
    );
  });

  it('is not needed to measure a version on what it was validated on while it was trained', async () => {
    const validationDataset = world.addDataset();
    const { number } = await world.publish({ validationDataset });
    const measures = [{ metric: 'loss' as const }];
    const job = await submit(`v${number}`, { measures });
    expect(job.dataset.id).toBe(validationDataset);
    expect(await refusal(submit('v1', { measures }))).toMatch(
      /validation_failed: .*has no validation dataset/,
    );
  });

  it('lets an alias go back to where it stood before without asking, and says so', async () => {
    await move('v1');
    await move('v2');
    await gateOf();
    expect((await rollBackAlias(world, team, prod)).version).toBe(1);
    expect(world.tables.aliasMoves.at(-1)).toMatchObject({ action: 'rollback', gate: 'stood-before' });
  });

  it('moves the alias in the transaction that ends the evaluation, on behalf of whoever asked', async () => {
    await move('v1');
    await gateOf();
    const job = await submit('v2', { alias: 'prod', move: true });
    expect(job.work).toMatchObject({
      kind: 'evaluate',
      move: { alias: 'prod', from: 1, actor: { id: actor } },
    });
    expect(await evaluated(job)).toMatchObject({ state: 'succeeded' });
    expect(standsOn()).toBe(2);
    expect(world.tables.aliasMoves.at(-1)).toMatchObject({ from: 1, to: 2, gate: 'passed', by: actor });
    expect(lastMessage(job.id)).toBe(
      "Evaluated captain v2 on 40 rows: loss 1, exact-match 0.9. Alias 'prod' moved to v2.",
    );
    expect(world.tables.audit).toMatchObject([
      {
        action: 'adapters.write',
        change: 'move',
        actor: deed.actor,
        requestId: 'req-1',
        details: { from: 1, to: 2 },
      },
    ]);
    expect(world.tables.evaluations).toMatchObject([{ version: 2, move: { alias: 'prod', isDone: true } }]);
    expect(await publishEvaluation(world, { jobId: job.id, epoch: 1 }, manifestOf(job.id, 1, 1))).toBeNull();
  });

  it.each<[string, () => Promise<unknown>, RegExp]>([
    ['does not pass', async () => undefined, /stays: exact-match 0.5, needed is at least 0.8\.$/],
    [
      'has moved meanwhile',
      () => removeGate(world, team, prod).then(() => move('v3')),
      /stays: it has moved to v3 since/,
    ],
    [
      'is of a version that was deleted',
      () => deleteVersion(world, team, 'captain', 'v2'),
      /stays: the version is deleted/,
    ],
    ['has another gate by now', () => gateOf({ limits: { maxTokens: 7 } }), /stays: loss is not measured/],
  ])('leaves the alias where it is when it %s; the evaluation is kept', async (_what, between, message) => {
    await move('v1');
    await gateOf();
    const job = await submit('v2', { alias: 'prod', move: true });
    await between();
    const before = standsOn();
    expect(await evaluated(job, 1, 0.5)).toMatchObject({ state: 'succeeded' });
    expect(standsOn()).toBe(before);
    expect(lastMessage(job.id)).toMatch(message);
    expect(world.tables.evaluations).toMatchObject([{ version: 2, move: { isDone: false } }]);
  });

  it('keeps its dataset, and takes none of pairs', async () => {
    await gateOf();
    for (const job of world.tables.jobs) job.state = 'succeeded';
    expect(await refusal(deleteDataset(world, team, world.datasetId))).toMatch('in_use');
    await removeGate(world, team, prod);
    expect(await refusal(removeGate(world, team, prod))).toMatch('not_found');
    for (const dataset of world.tables.datasets) dataset.format = 'preference';
    expect(await refusal(gateOf())).toMatch('dataset_invalid');
    expect(await refusal(submit('v1'))).toBe("not_found: There is no gate 'captain@prod'.");
  });

  it('is not needed to measure a version, nor to compare two', async () => {
    const own = { dataset: world.datasetId, measures: [exact] };
    await evaluated(await submit('v1', own), 0, 0.25);
    await evaluated(await submit('v2', own), 0, 0.75);
    const from = { adapter: 'captain', version: 'v1' };
    expect((await compareVersions(world, team, from, 'captain@v2')).evaluations).toMatchObject([
      { measure: exact, from: 0.25, to: 0.75, change: 0.5 },
    ]);
    expect((await compareVersions(world, team, from, 'captain@v3')).evaluations).toEqual([]);
  });

  it('is published by nothing but the manifest of its job', async () => {
    const job = await submit('v1', { dataset: world.datasetId, measures: [exact] });
    await claimAttempt(world, { jobId: job.id, epoch: 1 }, 'wrk_1');
    const attempt = { jobId: job.id, epoch: 1 };
    for (const phase of ['running', 'publishing'] as const) await reportPhase(world, attempt, phase);
    const wrong = { ...manifestOf(job.id, 1, 1), versionId: `ver_${'b'.repeat(24)}` };
    expect(await refusal(publishEvaluation(world, attempt, wrong))).toMatch('conflict');
    expect(world.tables.evaluations).toEqual([]);
  });
});

it.each([
  [{}, ['measures']],
  [{ alias: 'prod', dataset: `data_${'a'.repeat(24)}` }, ['dataset']],
  [{ move: true, dataset: `data_${'a'.repeat(24)}`, measures: [{ metric: 'loss' }] }, ['alias']],
])('refuses to evaluate by %j', (request, paths) => {
  const parsed = createEvaluationSchema.safeParse(request);
  expect(parsed.error?.issues.map(({ path }) => path.join('.'))).toEqual(paths);
});

it.each([
  [{ metric: 'regex', pattern: '(' }, 'measure.pattern'],
  [{ metric: 'regex', pattern: 'a', flags: 'g' }, 'measure.flags'],
  [{ metric: 'json-schema', schema: { title: 'x'.repeat(40_000) } }, 'measure.schema'],
  [{ metric: 'exact-match' }, 'threshold'],
])('refuses a check by %j', (measure, path) => {
  const request = { dataset: `data_${'a'.repeat(24)}`, checks: [{ measure, threshold: 3 }] };
  const issues = setGateSchema.safeParse(request).error?.issues.map((issue) => issue.path.slice(2).join('.'));
  expect(issues).toContain(path);
});

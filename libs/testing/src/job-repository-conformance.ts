import { type JobState, LowrankError, type Metadata } from '@lowrank/contracts';
import { type JobPatch, type UnitOfWork } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import {
  makeBaseModel,
  makeDataset,
  makeEstimate,
  makeEvent,
  makeJob,
  makeManifest,
  putInState,
} from './factories';
import { codeOf } from './object-store-conformance';
import { seedTeam, type SeededTeam } from './seed';

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();
const nobody = `job_${'z'.repeat(24)}`;

/** The part of unitOfWorkConformance on jobs, their log, and the wall between teams. */
export function jobRepositoryConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  describe('jobs', () => {
    it('begin queued, at their first attempt', async () => {
      const { queuedAt, rankAt, estimate, ...job } = await crew.addJob();
      expect(estimate).toBeNull();
      const fresh = {
        ...job,
        pauseRequested: false,
        stoppedEarly: null,
        deviceSeconds: 0,
        state: 'queued',
        epoch: 1,
        step: 0,
        totalSteps: null,
        trainedTokens: 0,
        cancelRequested: false,
        waitingFor: null,
        version: null,
        error: null,
        startedAt: null,
        finishedAt: null,
      };
      expect(await crew.job(job.id)).toEqual(fresh);
      const inside = {
        fruitlessAttempts: 0,
        memoryRetries: 0,
        deviceFailures: 0,
        checkpointStep: 0,
        mirroredStep: 0,
        workerId: null,
        heartbeatAt: null,
        preemptRequested: false,
        queuedAt,
        rankAt,
        assignedTo: null,
        assignedAt: null,
        attemptStartedAt: null,
        host: null,
        party: null,
        deviceClass: null,
        estimatedBytes: null,
        sharedBytes: null,
        traceparent: null,
      };
      expect(await run(({ jobs }) => jobs.lock(job.id))).toEqual({ ...fresh, ...inside, teamId: crew.id });
      expect(await run(({ jobs }) => jobs.lock(nobody))).toBeNull();
    });

    it.each(['dataset', 'base model', 'adapter'])('need their %s', async (missing) => {
      await crew.addJob();
      const job = makeJob(
        missing === 'base model' ? makeBaseModel() : crew.baseModel,
        missing === 'dataset' ? makeDataset() : crew.dataset,
        { adapter: missing === 'adapter' ? 'none' : 'captain' },
      );
      const insert = run(({ jobs }) => jobs.insert(crew.id, job));
      expect(await codeOf(insert)).toBe(missing === 'dataset' ? 'not_found' : 'conflict');
    });

    it('tell what they wait for while they are queued and have no slot', async () => {
      const { id } = await crew.addJob();
      const told = async (patch: JobPatch) => {
        await run(({ jobs }) => jobs.update(id, 1, patch));
        return (await run(({ jobs }) => jobs.find(crew.id, id)))?.waitingFor;
      };
      expect(await told({ waitingFor: 'no worker.' })).toBe('no worker.');
      const [waiting] = await run(({ jobs }) => jobs.waiting(day(9), 1));
      expect(waiting?.waitingFor).toBe('no worker.');
      expect(await told({ assignedTo: 'wrk_1', assignedAt: day(1) })).toBeNull();
      await run(({ jobs }) => putInState(jobs, id, 'cancelled'));
      expect(await told({ assignedTo: null, assignedAt: null })).toBeNull();
    });

    it('take every field of a patch and keep the others', async () => {
      const { id } = await crew.addJob();
      const patch: Required<JobPatch> = {
        epoch: 2,
        step: 7,
        totalSteps: 9,
        trainedTokens: 2 ** 40,
        cancelRequested: true,
        version: 3,
        error: { code: 'out_of_memory', message: '数 "quoted"\n', help: '' },
        startedAt: day(2),
        finishedAt: day(3),
        fruitlessAttempts: 2,
        memoryRetries: 1,
        deviceFailures: 2,
        checkpointStep: 6,
        mirroredStep: 5,
        workerId: 'wrk_1',
        heartbeatAt: day(4),
        pauseRequested: true,
        preemptRequested: true,
        priority: -100,
        queuedAt: day(5),
        rankAt: day(6),
        assignedTo: 'wrk_2',
        assignedAt: day(7),
        attemptStartedAt: day(8),
        deviceSeconds: 0.1,
        host: 'alfa',
        deviceClass: 'h100',
        stoppedEarly: { rung: 1, step: 30, value: 2.5, needed: 2.25 },
        party: 'pty_1',
        waitingFor: 'no worker.',
      };
      const before = await run(({ jobs }) => jobs.lock(id));
      expect(await run(({ jobs }) => jobs.update(id, 1, patch))).toBe(true);
      expect(await run(({ jobs }) => jobs.lock(id))).toEqual({ ...before, ...patch });
      const cleared = {
        totalSteps: null,
        version: null,
        error: null,
        startedAt: null,
        finishedAt: null,
        workerId: null,
        heartbeatAt: null,
        assignedTo: null,
        assignedAt: null,
        attemptStartedAt: null,
        host: null,
        waitingFor: null,
        stoppedEarly: null,
        party: null,
      };
      expect(await run(({ jobs }) => jobs.update(id, 2, cleared))).toBe(true);
      expect(await run(({ jobs }) => jobs.lock(id))).toEqual({ ...before, ...patch, ...cleared });
    });

    it.each([0, 2])('write nothing for epoch %i when they are at 1', async (epoch) => {
      const { id } = await crew.addJob();
      const before = await run(({ jobs }) => jobs.lock(id));
      expect(await run(({ jobs }) => jobs.update(id, epoch, { step: 5, heartbeatAt: day(9) }))).toBe(false);
      expect(await run(({ jobs }) => jobs.update(nobody, 1, { step: 5 }))).toBe(false);
      expect(await run(({ jobs }) => jobs.lock(id))).toEqual(before);
    });

    it('are listed by what is noted on them', async () => {
      const a = await crew.addJob({ createdAt: day(2), metadata: { 'a.b': 'o\'"\\数', run: '1' } });
      const b = await crew.addJob({ createdAt: day(3), metadata: { run: '1' } });
      const list = async (metadata: Metadata) =>
        (await run(({ jobs }) => jobs.list(crew.id, { metadata, limit: 9 }))).data.map((job) => job.id);
      expect((await crew.job(a.id)).metadata).toEqual(a.metadata);
      expect(await list({ run: '1' })).toEqual([b.id, a.id]);
      expect(await list(a.metadata)).toEqual([a.id]);
      expect(await list({ run: '2' })).toEqual([]);
      expect(await list({ other: '1' })).toEqual([]);
    });

    it('are listed by state and adapter', async () => {
      const [a, b] = [await crew.addJob({ createdAt: day(1) }), await crew.addJob({ createdAt: day(2) })];
      const c = await crew.addJob({ adapter: 'second', createdAt: day(3) });
      await run(({ jobs }) => putInState(jobs, a.id, 'running'));
      const list = async (filter: { state?: JobState; adapter?: string }) =>
        (await run(({ jobs }) => jobs.list(crew.id, { ...filter, limit: 9 }))).data.map((job) => job.id);
      expect(await list({})).toEqual([c.id, b.id, a.id]);
      expect(await list({ state: 'queued' })).toEqual([c.id, b.id]);
      expect(await list({ adapter: 'captain' })).toEqual([b.id, a.id]);
      expect(await list({ adapter: 'captain', state: 'queued' })).toEqual([b.id]);
      expect(await list({ state: 'failed' })).toEqual([]);
    });

    it('leave out none when the last of a page has left the filter since', async () => {
      const added: string[] = [];
      for (let n = 4; n > 0; n--) added.push((await crew.addJob({ createdAt: day(n) })).id);
      const queued = (page: { after?: string; limit: number }) =>
        run(({ jobs }) => jobs.list(crew.id, { state: 'queued', ...page }));
      expect((await queued({ limit: 2 })).data.map((job) => job.id)).toEqual(added.slice(0, 2));
      await run(({ jobs }) => putInState(jobs, added[1] ?? '', 'preparing'));
      expect((await queued({ after: added[1], limit: 2 })).data.map((job) => job.id)).toEqual(added.slice(2));
    });

    it('keep what was decided about them when they were made', async () => {
      const decided = {
        priority: 7,
        placement: { deviceClasses: ['h100', 'cpu'], memoryBytes: 2 ** 40 },
        notBefore: day(2),
        deadline: day(3),
        clonedFrom: nobody,
      };
      const { id } = await crew.addJob({ ...decided, queuedAt: day(4), rankAt: day(5) });
      expect(await crew.job(id)).toMatchObject(decided);
      expect(await run(({ jobs }) => jobs.lock(id))).toMatchObject({ queuedAt: day(4), rankAt: day(5) });
    });

    it('wait by rank, the first of each team, unless they may not start yet or have a worker', async () => {
      const other = await seedTeam(unitOfWork, 'other');
      const third = await crew.addJob({ rankAt: day(3) });
      const first = await crew.addJob({
        rankAt: day(1),
        priority: 3,
        queuedAt: day(9),
        estimate: makeEstimate(),
      });
      const second = await other.addJob({ rankAt: day(2), notBefore: day(4) });
      await other.addJob({ rankAt: day(1), notBefore: day(6) });
      const running = await crew.addJob({ rankAt: day(1) });
      await run(({ jobs }) => putInState(jobs, running.id, 'running'));
      const assigned = await crew.addJob({ rankAt: day(1) });
      await run(({ jobs }) => jobs.update(assigned.id, 1, { assignedTo: 'wrk_1', host: 'alfa' }));
      const waiting = async (perTeam: number, now = day(4)) =>
        (await run(({ jobs }) => jobs.waiting(now, perTeam))).map(({ id }) => id);
      expect(await waiting(9)).toEqual([first.id, second.id, third.id]);
      expect(await waiting(1)).toEqual([first.id, second.id]);
      expect(await waiting(9, day(3))).toEqual([first.id, third.id]);
      const [record] = await run(({ jobs }) => jobs.waiting(day(4), 1));
      expect(record).toEqual({
        id: first.id,
        epoch: 1,
        teamId: crew.id,
        waitingFor: null,
        priority: 3,
        placement: first.placement,
        estimatedBytes: 4_500_000_000,
        sharedBytes: 3_000_000_000,
        queuedAt: day(9),
        rankAt: day(1),
        host: null,
      });
      expect(await run(({ jobs }) => jobs.countQueued(crew.id))).toBe(3);
    });

    it('are given workers together, those that still wait as they were seen', async () => {
      const [free, taken, moved, gone] = [
        await crew.addJob(),
        await crew.addJob(),
        await crew.addJob(),
        await crew.addJob(),
      ];
      await run(async ({ jobs }) => {
        await jobs.update(taken.id, 1, { assignedTo: 'wrk_2', assignedAt: day(2) });
        await jobs.update(moved.id, 1, { epoch: 2 });
        await putInState(jobs, gone.id, 'cancelled');
      });
      const choices = [free, taken, moved, gone].map(({ id }) => ({
        jobId: id,
        epoch: 1,
        workerId: 'wrk_1',
      }));
      expect(await run(({ jobs }) => jobs.assign(choices, day(3)))).toEqual([free.id]);
      expect(await run(({ jobs }) => jobs.assign([], day(3)))).toEqual([]);
      const placed = await run(({ jobs }) => jobs.placed());
      expect(placed.map(({ id, assignedTo, assignedAt }) => [id, assignedTo, assignedAt]).sort()).toEqual(
        [
          [free.id, 'wrk_1', day(3)],
          [taken.id, 'wrk_2', day(2)],
        ].sort(),
      );
    });
  });

  describe('events', () => {
    it('are numbered from 1 within a job, and read on from a number', async () => {
      const [a, b] = [await crew.addJob(), await crew.addJob()];
      const append = (id: string, message: string) =>
        run(({ jobs }) => jobs.appendEvent(id, makeEvent({ message, state: 'running', type: 'state' })));
      for (const message of ['1', '2', '3']) await append(a.id, message);
      expect(await append(b.id, 'other')).toEqual({
        ...makeEvent({ message: 'other', state: 'running', type: 'state' }),
        seq: 1,
      });
      const read = async (after: number, limit: number) =>
        (await run(({ jobs }) => jobs.events(a.id, after, limit))).map(({ seq, message }) => [seq, message]);
      expect(await read(0, 2)).toEqual([
        [1, '1'],
        [2, '2'],
      ]);
      expect(await read(2, 9)).toEqual([[3, '3']]);
      expect(await read(3, 9)).toEqual([]);
      expect(await codeOf(append(nobody, 'x'))).toBe('not_found');
    });

    it('and errors keep any text but what cannot be stored', async () => {
      const { id } = await crew.addJob();
      // A trainer's last words: bytes of a crash, cut in the middle of an emoji.
      const message = 'a\0b 数 🏴 \ud83d';
      const stored = 'a\ufffdb 数 🏴 \ufffd';
      const event = await run(({ jobs }) => jobs.appendEvent(id, makeEvent({ message })));
      expect(event.message).toBe(stored);
      expect(await run(({ jobs }) => jobs.events(id, 0, 1))).toEqual([event]);
      const error = { code: 'internal' as const, message, help: '' };
      await run(({ jobs }) => putInState(jobs, id, 'failed', { error }));
      expect((await crew.job(id)).error?.message).toBe(stored);
    });
  });

  it('one team sees and changes nothing of another', async () => {
    const other = await seedTeam(unitOfWork, 'other');
    const job = await crew.addJob();
    await fill(unitOfWork, crew, job);
    const page = { limit: 10 };
    await run(async ({ apiKeys, baseModels, datasets, jobs, adapters }) => {
      expect(await baseModels.find(other.id, crew.baseModel.id)).toBeNull();
      expect(await baseModels.find(other.id, 'tiny')).toEqual(other.baseModel);
      expect((await baseModels.list(other.id, page)).data).toEqual([other.baseModel]);
      expect(await baseModels.firstReady(other.id)).toEqual(other.baseModel);
      expect(await datasets.find(other.id, crew.dataset.id)).toBeNull();
      expect((await datasets.list(other.id, page)).data).toEqual([other.dataset]);
      expect(await datasets.delete(other.id, crew.dataset.id)).toBe(false);
      expect(await datasets.find(crew.id, crew.dataset.id)).toEqual(crew.dataset);
      expect(await jobs.find(other.id, job.id)).toBeNull();
      expect((await jobs.list(other.id, { ...page, adapter: 'captain' })).data).toEqual([]);
      expect(await adapters.find(other.id, 'captain')).toBeNull();
      expect((await adapters.list(other.id, page)).data).toEqual([]);
      expect(await adapters.versions(other.id, 'captain')).toEqual([]);
      expect(await adapters.version(other.id, 'captain', 1)).toBeNull();
      expect(await apiKeys.list(other.id)).toEqual([]);
      expect(await apiKeys.revoke(other.id, 'key_1', day(2))).toBe(false);
      expect((await apiKeys.list(crew.id))[0]?.revokedAt).toBeNull();
    });
    const theirs = makeJob(crew.baseModel, crew.dataset);
    expect(await codeOf(run(({ jobs }) => jobs.insert(other.id, theirs)))).toBe('not_found');
    // Of the same name, but another team's: an adapter of its own, for a base model of its own.
    const own = { id: 'adp_2', name: 'captain', baseModelName: 'large', at: day(2) };
    expect(await run(({ adapters }) => adapters.ensure(other.id, own))).toMatchObject({
      latestVersion: null,
    });
  });
}

async function fill(
  unitOfWork: UnitOfWork,
  team: SeededTeam,
  job: Awaited<ReturnType<SeededTeam['addJob']>>,
): Promise<void> {
  await unitOfWork.run(async ({ apiKeys, adapters }) => {
    await apiKeys.insert({
      id: 'key_1',
      teamId: team.id,
      name: 'theirs',
      role: 'admin',
      scopes: null,
      memberId: null,
      hint: 'lrk_1234',
      createdAt: day(1),
      expiresAt: null,
      revokedAt: null,
      secretSha256: '0'.repeat(64),
    });
    const version = await adapters.publish(team.id, { id: 'ver_1', manifest: makeManifest(job), at: day(1) });
    if (version.number !== 1) throw new LowrankError('internal', 'not the first version');
  });
}

import { type JobWakeUp } from '@lowrank/contracts';
import { type Repositories, type UnitOfWork } from '@lowrank/domain';
import { adapterSearchConformance } from './adapter-search-conformance';
import { aliasConformance } from './alias-conformance';
import { auditConformance } from './audit-conformance';
import { memberConformance } from './member-conformance';
import { newsConformance } from './news-conformance';
import { catalogConformance } from './catalog-conformance';
import { deletionConformance } from './deletion-conformance';
import { makeDataset, makeEvent, makeMetric, makeWorker, putInState } from './factories';
import { estimateConformance } from './estimate-conformance';
import { grantConformance } from './grant-conformance';
import { evaluationConformance } from './evaluation-conformance';
import { pinConformance } from './pin-conformance';
import { usageConformance } from './usage-conformance';
import { checkpointConformance } from './checkpoint-conformance';
import { exportConformance } from './export-conformance';
import { jobLogConformance } from './job-log-conformance';
import { jobRepositoryConformance } from './job-repository-conformance';
import { jobUpkeepConformance } from './job-upkeep-conformance';
import { codeOf } from './object-store-conformance';
import { partyConformance } from './party-conformance';
import { seedTeam, type SeededTeam } from './seed';
import { statisticsConformance } from './statistics-conformance';
import { sweepConformance } from './sweep-conformance';
import { webhookConformance } from './webhook-conformance';

export interface UnitOfWorkUnderTest {
  unitOfWork: UnitOfWork;
  /** Ends it and removes everything it kept. */
  close(): Promise<void>;
}

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();
const last = 'z'.repeat(24);

/** Everything that UnitOfWork and its repositories promise, checked on one implementation. `open` makes an empty one. */
export function unitOfWorkConformance(name: string, open: () => Promise<UnitOfWorkUnderTest>): void {
  describe(`${name} keeps the promises of UnitOfWork`, () => {
    let under: UnitOfWorkUnderTest;
    let crew: SeededTeam;
    const run = <T>(work: (repositories: Repositories) => Promise<T>) => under.unitOfWork.run(work);

    beforeEach(async () => {
      under = await open();
      crew = await seedTeam(under.unitOfWork);
    });
    afterEach(() => under.close());

    it('tells its time', async () => {
      const asked = Date.now();
      const told = Date.parse(await under.unitOfWork.ping());
      // Both are on one machine; a time in another zone or unit would be off by far more.
      expect(Math.abs(told - asked)).toBeLessThan(60_000);
    });

    describe('run', () => {
      it('gives back what work gives, and work sees what it wrote', async () => {
        const { id } = await crew.addJob();
        const seen = await run(async ({ jobs }) => {
          await jobs.update(id, 1, { step: 5 });
          return (await jobs.find(crew.id, id))?.step;
        });
        expect(seen).toBe(5);
      });

      it('leaves nothing of a transaction that throws, and passes the error on', async () => {
        const before = await crew.addJob();
        const error = new Error('changed my mind');
        const attempt = run(async ({ jobs, outbox, datasets, workers }) => {
          await jobs.appendEvent(before.id, makeEvent());
          await jobs.putMetrics(before.id, [makeMetric()]);
          await putInState(jobs, before.id, 'running', { epoch: 2 });
          await outbox.add({ jobId: before.id, epoch: 2, workerId: null });
          await datasets.insert(crew.id, makeDataset());
          await workers.upsert(makeWorker({ seenAt: day(1) }));
          throw error;
        });
        await expect(attempt).rejects.toBe(error);
        await run(async ({ jobs, outbox, datasets, workers }) => {
          expect(await jobs.lock(before.id)).toMatchObject({ state: 'queued', epoch: 1 });
          expect(await jobs.events(before.id, 0, 10)).toEqual([]);
          expect(await jobs.metrics(before.id, { limit: 10 })).toEqual([]);
          expect(await outbox.take(10)).toEqual([]);
          expect((await datasets.list(crew.id, { limit: 10 })).data).toEqual([crew.dataset]);
          expect(await workers.seenSince(day(1))).toEqual([]);
        });
        expect(await run(({ jobs }) => jobs.appendEvent(before.id, makeEvent()))).toMatchObject({ seq: 1 });
      });

      it('is as whole when it is light', async () => {
        const { id } = await crew.addJob();
        const { unitOfWork } = under;
        const seen = await unitOfWork.runLightly(async ({ jobs }) => {
          await jobs.update(id, 1, { step: 5 });
          return (await jobs.find(crew.id, id))?.step;
        });
        expect([seen, (await crew.job(id)).step]).toEqual([5, 5]);
        const failing = unitOfWork.runLightly(async ({ jobs }) => {
          await jobs.update(id, 1, { step: 6 });
          throw new Error('changed my mind');
        });
        await expect(failing).rejects.toThrow('changed my mind');
        expect((await crew.job(id)).step).toBe(5);
      });

      it('is seen by a look as soon as it is over, and what a look throws is passed on', async () => {
        const { id } = await crew.addJob();
        const { unitOfWork } = under;
        const look = () => unitOfWork.look(async ({ jobs }) => (await jobs.find(crew.id, id))?.step);
        expect(await look()).toBe(0);
        await run(({ jobs }) => jobs.update(id, 1, { step: 7 }));
        expect(await look()).toBe(7);
        const error = new Error('not what was looked for');
        await expect(unitOfWork.look(() => Promise.reject(error))).rejects.toBe(error);
      });

      it('hands rows in and out as copies', async () => {
        const { id } = await crew.addJob();
        const metric = makeMetric();
        await run(async ({ jobs }) => {
          const locked = await jobs.lock(id);
          await jobs.update(id, 1, { epoch: 2 });
          expect(locked?.epoch).toBe(1);
          await jobs.putMetrics(id, [metric]);
        });
        metric.loss = -1;
        Object.assign(await crew.job(id), { step: 99 });
        expect(await crew.job(id)).toMatchObject({ step: 0, epoch: 2 });
        expect(await run(({ jobs }) => jobs.metrics(id, { limit: 1 }))).toEqual([makeMetric()]);
      });

      it('loses no increment of ten at once under the lock', async () => {
        const { id } = await crew.addJob();
        const increment = () =>
          run(async ({ jobs }) => {
            const job = await jobs.lock(id);
            await jobs.update(id, 1, { step: (job?.step ?? 0) + 1 });
          });
        await Promise.all(Array.from({ length: 10 }, increment));
        expect((await crew.job(id)).step).toBe(10);
      });
    });

    describe('exclusively', () => {
      it('has one holder by name, and is free when work ends or throws', async () => {
        const { unitOfWork } = under;
        const inside = await unitOfWork.exclusively('a', async (signal) => [
          signal.aborted,
          await unitOfWork.exclusively('a', async () => 'second'),
          await unitOfWork.exclusively('b', async () => 'other'),
        ]);
        expect(inside).toEqual([false, undefined, 'other']);
        const error = new Error('connect ECONNREFUSED of something else');
        await expect(unitOfWork.exclusively('a', () => Promise.reject(error))).rejects.toBe(error);
        expect(await unitOfWork.exclusively('a', async () => 'again')).toBe('again');
      });

      it('is no transaction: work that fails afterwards undoes nothing', async () => {
        const { id } = await crew.addJob();
        const work = under.unitOfWork.exclusively('a', async () => {
          await run(({ jobs }) => jobs.update(id, 1, { step: 3 }));
          throw new Error('later');
        });
        await expect(work).rejects.toThrow('later');
        expect((await crew.job(id)).step).toBe(3);
      });
    });

    describe('apiKeys', () => {
      const key = (letter: string, createdAt: string) => ({
        id: `key_${letter.repeat(24)}`,
        teamId: crew.id,
        name: letter,
        role: 'member' as const,
        scopes: ['jobs:read' as const],
        memberId: null,
        hint: `lrk_${letter.repeat(4)}`,
        createdAt,
        expiresAt: day(9),
        revokedAt: null,
      });
      const insert = async (row: ReturnType<typeof key>, digit: string) => {
        await run(({ apiKeys }) => apiKeys.insert({ ...row, secretSha256: digit.repeat(64) }));
        return row;
      };

      it('are found by the hash of their secret, which no answer holds', async () => {
        const row = await insert(key('a', day(1)), '1');
        // The team of the test was the first to be made.
        expect(await run(({ apiKeys }) => apiKeys.findBySecret('1'.repeat(64)))).toEqual({
          key: row,
          operator: true,
          memberRole: null,
        });
        expect(await run(({ apiKeys }) => apiKeys.findBySecret('2'.repeat(64)))).toBeNull();
        expect(await codeOf(insert(key('b', day(1)), '1'))).toBe('conflict');
      });

      it('are listed newest first', async () => {
        const rows = [key('b', day(1)), key('c', day(3)), key('a', day(3)), key('d', day(2))];
        for (const [index, row] of rows.entries()) await insert(row, String(index));
        const names = (await run(({ apiKeys }) => apiKeys.list(crew.id))).map((row) => row.name);
        expect(names).toEqual(['c', 'a', 'd', 'b']);
      });

      it('keep the time of their first revocation', async () => {
        const { id } = await insert(key('a', day(1)), '1');
        for (const at of [day(2), day(3)])
          expect(await run(({ apiKeys }) => apiKeys.revoke(crew.id, id, at))).toBe(true);
        expect(await run(({ apiKeys }) => apiKeys.list(crew.id))).toMatchObject([{ revokedAt: day(2) }]);
        expect(await run(({ apiKeys }) => apiKeys.revoke(crew.id, `key_${last}`, day(4)))).toBe(false);
      });

      it('belong to a team that is made once by name', async () => {
        expect(await run(({ apiKeys }) => apiKeys.ensureTeam('crew'))).toBe(crew.id);
        expect(await run(({ apiKeys }) => apiKeys.ensureTeam('other'))).not.toBe(crew.id);
      });
    });

    describe('outbox', () => {
      it('is taken oldest first and keeps what is not removed', async () => {
        const { id: jobId } = await crew.addJob();
        await run(async ({ outbox }) => {
          for (const epoch of [3, 1, 2])
            await outbox.add({ jobId, epoch, workerId: epoch === 1 ? null : 'wrk_1' });
        });
        const epochs = (limit: number) =>
          run(async ({ outbox }) => (await outbox.take(limit)).map((entry) => entry.wakeUp.epoch));
        expect(await epochs(2)).toEqual([3, 1]);
        const [first] = await run(({ outbox }) => outbox.take(1));
        expect(first).toEqual({ id: expect.any(String), wakeUp: { jobId, epoch: 3, workerId: 'wrk_1' } });
        await run(({ outbox }) => outbox.remove([first?.id ?? '', '999999']));
        await run(({ outbox }) => outbox.remove([]));
        expect(await epochs(10)).toEqual([1, 2]);
        await run(({ outbox }) => outbox.removeNews());
        expect(await epochs(10)).toEqual([2]);
      });

      it('says which rows it added, with where they go on in a trace', async () => {
        const { id: jobId } = await crew.addJob();
        const traceparent = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`;
        const wakeUps = [2, 1].map((epoch): JobWakeUp => ({ jobId, epoch, workerId: 'wrk_1' }));
        const added = await run(({ outbox }) =>
          outbox.add(...wakeUps, { jobId, epoch: 3, workerId: null, traceparent }),
        );
        expect(added.map(({ wakeUp }) => wakeUp)).toEqual([
          ...wakeUps,
          { jobId, epoch: 3, workerId: null, traceparent },
        ]);
        expect(await run(({ outbox }) => outbox.take(10))).toEqual(added);
        expect(await run(({ outbox }) => outbox.add())).toEqual([]);
      });

      it('takes no wake-up of a job that is not there', async () => {
        const add = run(({ outbox }) => outbox.add({ jobId: `job_${last}`, epoch: 1, workerId: null }));
        expect(await codeOf(add)).toBe('conflict');
      });
    });

    it('workers are replaced, seen since a time, in order of their host, and removed', async () => {
      const worker = (id: string, hostname: string, seenAt: string) => makeWorker({ id, hostname, seenAt });
      await run(async ({ workers }) => {
        await workers.upsert(worker('wrk_1', 'zulu', day(1)));
        await workers.upsert(worker('wrk_3', 'mike', day(3)));
        await workers.upsert(worker('wrk_2', 'mike', day(2)));
        await workers.upsert({ ...worker('wrk_1', 'zulu', day(2)), slots: 5 });
        await workers.upsert(worker('wrk_4', 'alfa', day(1)));
      });
      const seen = await run(({ workers }) => workers.seenSince(day(2)));
      expect(seen.map(({ id, slots }) => [id, slots])).toEqual([
        ['wrk_2', 2],
        ['wrk_3', 2],
        ['wrk_1', 5],
      ]);
      await run(({ workers }) => workers.remove('wrk_1'));
      await run(({ workers }) => workers.remove('wrk_1'));
      expect(await run(({ workers }) => workers.seenSince(day(1)))).toHaveLength(3);
      expect(await run(({ workers }) => workers.removeUnseen(day(2)))).toEqual(['wrk_4']);
      expect(await run(({ workers }) => workers.seenSince(day(1)))).toHaveLength(2);
    });

    it('workers come back as they were written, and keep draining whatever they write of themselves', async () => {
      const device = {
        name: 'H100',
        utilisation: 0.1 + 0.2,
        memoryUsedBytes: 2 ** 35,
        memoryTotalBytes: 2 ** 36,
        temperature: 54,
      };
      const usage = { utilisation: null, memoryUsedBytes: 1, memoryTotalBytes: 2 ** 40, devices: [device] };
      const worker = makeWorker({ memoryBytes: 2 ** 45, deviceClass: 'h100', usage, seenAt: day(1) });
      const works = { drain: null, failure: null };
      expect(await run(({ workers }) => workers.upsert(worker))).toEqual({ ...worker, ...works });
      expect(await run(({ workers }) => workers.setDrain(worker.id, 'checkpoint'))).toBe(true);
      const again = { ...worker, usage: null, seenAt: day(2) };
      expect(await run(({ workers }) => workers.upsert(again))).toEqual({
        ...again,
        ...works,
        drain: 'checkpoint',
      });
      const failure = { message: 'off the bus', at: day(2) };
      expect(await run(({ workers }) => workers.fail(worker.id, failure))).toBe(true);
      expect(await run(({ workers }) => workers.upsert(again))).toMatchObject({ failure });
      const failed = { ...again, drain: 'checkpoint', failure };
      expect(await run(({ workers }) => workers.find(worker.id))).toEqual(failed);
      expect(await run(({ workers }) => workers.setDrain(worker.id, null))).toBe(true);
      expect(await run(({ workers }) => workers.find(worker.id))).toEqual({ ...again, ...works });
      expect(await run(({ workers }) => workers.setDrain('wrk_none', null))).toBe(false);
      expect(await run(({ workers }) => workers.fail('wrk_none', failure))).toBe(false);
      expect(await run(({ workers }) => workers.find('wrk_none'))).toBeNull();
    });

    describe('teams', () => {
      const quotas = {
        weight: 2.5,
        maxRunning: 3,
        maxQueued: 0,
        deviceSecondsPerMonth: 2 ** 40,
        tokensPerMonth: 2 ** 41,
      };
      const shares = (id?: string) =>
        run(({ teams }) =>
          teams.shares({ now: day(10), monthStart: day(1), decaySeconds: 3600, ...(id ? { id } : {}) }),
        );

      it('begin without limits, and keep what is not changed', async () => {
        const free = {
          weight: 1,
          maxRunning: null,
          maxQueued: null,
          deviceSecondsPerMonth: null,
          tokensPerMonth: null,
        };
        const fresh = { id: crew.id, name: 'crew', ...free };
        expect(await run(({ teams }) => teams.find(crew.id))).toEqual(fresh);
        await run(({ teams }) => teams.change(crew.id, quotas));
        expect(await run(({ teams }) => teams.lock(crew.id))).toEqual({ ...fresh, ...quotas });
        await run(({ teams }) => teams.change(crew.id, { maxRunning: null }));
        expect(await run(({ teams }) => teams.find(crew.id))).toEqual({
          ...fresh,
          ...quotas,
          maxRunning: null,
        });
        expect(await run(({ teams }) => teams.find('team_none'))).toBeNull();
        expect(await run(({ teams }) => teams.lock('team_none'))).toBeNull();
      });

      it('are charged by the hour: of the month, and of the last day by age', async () => {
        const other = await seedTeam(under.unitOfWork, 'other');
        const charge = (hour: string, seconds: number) =>
          run(({ teams }) => teams.charge(crew.id, [{ hour, seconds }]));
        await charge(new Date(Date.UTC(2025, 11, 31, 23)).toISOString(), 5000);
        await charge(day(2), 100);
        await charge(new Date(Date.UTC(2026, 0, 9, 23)).toISOString(), 40);
        await charge(new Date(Date.UTC(2026, 0, 9, 23)).toISOString(), 2.5);
        await charge(new Date(Date.UTC(2026, 0, 9, 12)).toISOString(), 1000);
        const [own] = await shares(crew.id);
        expect(own?.monthSeconds).toBeCloseTo(1142.5, 6);
        // Half an hour and eleven and a half hours old, by an hour's time constant.
        expect(own?.recentSeconds).toBeCloseTo(42.5 * Math.exp(-0.5) + 1000 * Math.exp(-11.5), 6);
        const all = await shares();
        expect(all.map(({ id, monthSeconds }) => [id, monthSeconds > 0])).toEqual(
          [crew.id, other.id].sort().map((id) => [id, id === crew.id]),
        );
        expect(all.find(({ id }) => id === other.id)).toMatchObject({
          name: 'other',
          weight: 1,
          recentSeconds: 0,
        });
        await run(({ teams }) => teams.charge(other.id, []));
        const stray = run(({ teams }) => teams.charge('team_none', [{ hour: day(1), seconds: 1 }]));
        expect(await codeOf(stray)).toBe('conflict');
      });
    });

    statisticsConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    newsConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    catalogConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    adapterSearchConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    aliasConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    evaluationConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    pinConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    checkpointConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    exportConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    deletionConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    jobRepositoryConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    jobLogConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    partyConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    jobUpkeepConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    estimateConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    grantConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    usageConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    memberConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    auditConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    webhookConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
    sweepConformance(() => ({ run, crew, unitOfWork: under.unitOfWork }));
  });
}

import { type JobLogLine, type JobMetric } from '@lowrank/contracts';
import { type TimelineKey } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { makeEvent, makeMetric, putInState } from './factories';
import { codeOf } from './object-store-conformance';

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();
const at = day(1);
const nobody = `job_${'z'.repeat(24)}`;
const lines = (...messages: string[]): Omit<JobLogLine, 'seq'>[] =>
  messages.map((message) => ({ at, epoch: 2, level: 'warn', message }));

/** The part of unitOfWorkConformance on metrics and logs of jobs, and on reading while others write. */
export function jobLogConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  describe('metrics', () => {
    const put = (id: string, metrics: JobMetric[]) => run(({ jobs }) => jobs.putMetrics(id, metrics));
    const read = (id: string, options: { afterStep?: number; limit: number }) =>
      run(({ jobs }) => jobs.metrics(id, options));
    const steps = async (id: string, options: { afterStep?: number; limit: number } = { limit: 99 }) =>
      (await read(id, options)).map(({ step, kind, loss }) => `${step} ${kind} ${loss}`);

    it('come back exactly', async () => {
      const { id } = await crew.addJob();
      const rows = [
        makeMetric({ step: 0, kind: 'eval', loss: 0.1 + 0.2, learningRate: null, accuracy: 1 / 3 }),
        makeMetric({ step: 1, loss: Number.MIN_VALUE, gradNorm: Number.MAX_VALUE, at: day(1.5) }),
        makeMetric({ step: 2, loss: -0.5, tokensPerSecond: null, gradNorm: null, epochs: 1e-7 }),
      ];
      await put(id, rows);
      expect(await read(id, { limit: 9 })).toEqual(rows);
    });

    it('are in order of step and kind, and replaced by ones of the same', async () => {
      const { id } = await crew.addJob();
      await put(id, []);
      await put(id, [
        makeMetric({ step: 2, loss: 2 }),
        makeMetric({ step: 1, loss: 1 }),
        makeMetric({ step: 1, kind: 'eval', loss: 9 }),
        makeMetric({ step: 1, loss: 1.5 }),
      ]);
      await put(id, [makeMetric({ step: 2, loss: 2.5 }), makeMetric({ step: 3, loss: 3 })]);
      expect(await steps(id)).toEqual(['1 eval 9', '1 train 1.5', '2 train 2.5', '3 train 3']);
      expect(await steps(id, { afterStep: 1, limit: 1 })).toEqual(['2 train 2.5']);
      expect(await steps(id, { limit: 1 })).toEqual(['1 eval 9']);
    });

    it('come by columns, without those that no metric has', async () => {
      const { id } = await crew.addJob();
      const none = {
        ...{ step: [], at: [], loss: [], learningRate: null, gradNorm: null },
        ...{ tokensPerSecond: null, accuracy: null, rewardMargin: null },
      };
      const columns = (afterStep: number) => run(({ jobs }) => jobs.metricColumns(id, afterStep));
      expect(await columns(-1)).toEqual({ train: none, eval: none });
      const measured = {
        learningRate: 1e-4,
        gradNorm: 2,
        tokensPerSecond: 5,
        accuracy: null,
        rewardMargin: null,
      };
      await put(id, [
        makeMetric({ ...measured, step: 3, loss: 0.1 + 0.2, at: day(3) }),
        makeMetric({ ...measured, step: 1, loss: Number.MIN_VALUE, at: day(1) }),
        makeMetric({ ...measured, step: 2, loss: -1, at: day(2), gradNorm: null }),
      ]);
      const train = {
        ...{ step: [1, 2, 3], at: [1, 2, 3].map((n) => Date.parse(day(n))) },
        ...{ loss: [Number.MIN_VALUE, -1, 0.1 + 0.2], learningRate: [1e-4, 1e-4, 1e-4] },
        ...{ gradNorm: [2, null, 2], tokensPerSecond: [5, 5, 5], accuracy: null, rewardMargin: null },
      };
      expect(await columns(-1)).toEqual({ train, eval: none });
      expect((await columns(2)).train).toMatchObject({ step: [3], gradNorm: [2] });
    });

    it('are thinned out evenly, of the jobs of one team', async () => {
      const [a, b] = [await crew.addJob(), await crew.addJob()];
      const train = Array.from({ length: 10 }, (_, i) => makeMetric({ step: i + 1, loss: i }));
      await put(a.id, [...train, makeMetric({ step: 10, kind: 'eval', loss: 5 })]);
      const curves = (teamId: string, points: number) =>
        run(({ jobs }) => jobs.sampledMetrics(teamId, [a.id, b.id, nobody], points));
      const [{ job, metrics } = { job: '', metrics: [] }, ...others] = await curves(crew.id, 3);
      expect([job, others]).toEqual([a.id, []]);
      expect(metrics.map(({ step, kind }) => `${step} ${kind}`)).toEqual([
        ...['1 train', '5 train', '9 train', '10 eval', '10 train'],
      ]);
      expect((await curves(crew.id, 100))[0]?.metrics).toHaveLength(11);
      expect(await curves('team_of_nobody', 3)).toEqual([]);
    });

    it('have samples beside them, one list a step, which are dropped with them', async () => {
      const { id } = await crew.addJob();
      const other = await crew.addJob();
      const samples = (text: string) => [{ prompt: 'Who?', expected: null, text }];
      const keep = (job: string, step: number, text: string) =>
        run(({ jobs }) => jobs.putSamples(job, { step, at, samples: samples(text) }));
      for (const [step, text] of [
        [9, 'c'],
        [0, 'a'],
        [5, 'b'],
        [5, 'd'],
      ] as const)
        await keep(id, step, text);
      await keep(other.id, 9, 'e');
      const list = (job: string) => run(({ jobs }) => jobs.samples(job));
      expect(await list(id)).toEqual(
        [
          [0, 'a'],
          [5, 'd'],
          [9, 'c'],
        ].map(([step, text]) => ({ step, at, samples: samples(String(text)) })),
      );
      await run(({ jobs }) => jobs.truncateMetrics(id, 5));
      expect((await list(id)).map(({ step }) => step)).toEqual([0, 5]);
      expect(await list(other.id)).toHaveLength(1);
    });

    it('are dropped beyond a step, of one job only', async () => {
      const [a, b] = [await crew.addJob(), await crew.addJob()];
      const rows = [1, 2, 3].map((step) => makeMetric({ step, loss: step }));
      for (const { id } of [a, b]) await put(id, rows);
      await run(({ jobs }) => jobs.truncateMetrics(a.id, 1));
      expect(await steps(a.id)).toEqual(['1 train 1']);
      expect(await steps(b.id)).toHaveLength(3);
      expect(await codeOf(put(nobody, rows))).toBe('conflict');
    });
  });

  describe('the timeline', () => {
    const read = async (id: string, limit: number, before?: TimelineKey) =>
      (await run(({ jobs }) => jobs.timeline(id, { before, limit }))).map((entry) =>
        'seq' in entry ? `event ${entry.seq}` : `${entry.kind} ${entry.step}`,
      );

    it('has events and metrics together, the newest first', async () => {
      const [{ id }, other] = [await crew.addJob(), await crew.addJob()];
      const event = makeEvent({ at: day(4), message: 'last' });
      const metric = makeMetric({ step: 2, at: day(3) });
      await run(async ({ jobs }) => {
        await jobs.appendEvent(id, makeEvent({ at: day(1) }));
        await jobs.putMetrics(id, [
          makeMetric({ step: 1, at: day(2) }),
          makeMetric({ step: 1, kind: 'eval', at: day(2) }),
          metric,
        ]);
        await jobs.appendEvent(id, makeEvent({ at: day(2) }));
        await jobs.appendEvent(id, event);
        await jobs.appendEvent(other.id, makeEvent({ at: day(3) }));
      });
      const all = ['event 3', 'train 2', 'event 2', 'train 1', 'eval 1', 'event 1'];
      expect(await read(id, 9)).toEqual(all);
      expect(await read(id, 2)).toEqual(all.slice(0, 2));
      expect(await read(id, 2, { step: 2, kind: 'train' })).toEqual(all.slice(2, 4));
      expect(await read(id, 2, { seq: 2 })).toEqual(all.slice(3, 5));
      expect(await read(id, 9, { step: 1, kind: 'train' })).toEqual(all.slice(4));
      expect(await read(id, 9, { seq: 1 })).toEqual([]);
      expect(await run(({ jobs }) => jobs.timeline(id, { limit: 2 }))).toEqual([
        { ...event, seq: 3 },
        metric,
      ]);
    });

    it('goes on from nothing that is not there', async () => {
      const { id } = await crew.addJob();
      const from = (before: TimelineKey) =>
        codeOf(run(({ jobs }) => jobs.timeline(id, { before, limit: 9 })));
      expect(await from({ seq: 1 })).toBe('validation_failed');
      expect(await from({ step: 1, kind: 'eval' })).toBe('validation_failed');
    });
  });

  describe('logs', () => {
    const append = (id: string, keep: number, ...messages: string[]) =>
      run(({ jobs }) => jobs.appendLog(id, lines(...messages), keep));
    const read = async (id: string, afterSeq = 0, limit = 99) =>
      (await run(({ jobs }) => jobs.log(id, afterSeq, limit))).map(({ seq, message }) => `${seq} ${message}`);

    it('are numbered within a job, and read on from a number', async () => {
      const [a, b] = [await crew.addJob(), await crew.addJob()];
      await append(a.id, 9, 'one', 'two');
      await append(a.id, 9);
      await append(a.id, 9, 'three');
      await append(b.id, 9, 'other');
      expect(await read(a.id)).toEqual(['1 one', '2 two', '3 three']);
      expect(await read(a.id, 1, 1)).toEqual(['2 two']);
      expect(await read(b.id)).toEqual(['1 other']);
      expect(await run(({ jobs }) => jobs.log(a.id, 2, 9))).toEqual([{ ...lines('three')[0], seq: 3 }]);
      expect(await codeOf(append(`job_${'z'.repeat(24)}`, 9, 'x'))).toBe('conflict');
    });

    it('keep their newest lines, and go on counting', async () => {
      const { id } = await crew.addJob();
      await append(id, 3, 'a', 'b');
      await append(id, 3, 'c', 'd');
      expect(await read(id)).toEqual(['2 b', '3 c', '4 d']);
      await append(id, 2, 'e', 'f', 'g', 'h');
      expect(await read(id)).toEqual(['7 g', '8 h']);
    });

    it('keep any text but what cannot be stored', async () => {
      const { id } = await crew.addJob();
      await append(id, 9, 'a\0b 数 \ud83d');
      expect(await read(id)).toEqual(['1 a\ufffdb 数 \ufffd']);
    });
  });

  describe('read', () => {
    it('gives back what work gives, and passes errors on', async () => {
      expect(await unitOfWork.read(async ({ jobs }) => (await jobs.find(crew.id, 'none')) ?? 'nothing')).toBe(
        'nothing',
      );
      const error = new Error('changed my mind');
      await expect(unitOfWork.read(() => Promise.reject(error))).rejects.toBe(error);
    });

    it('tells of every move, in the epoch that the job had, and of none that did not come about', async () => {
      const { id } = await crew.addJob();
      const told = { at: '2026-01-02T00:00:00.000Z', level: 'warn' as const, message: 'it goes back.' };
      const move = (epoch: number) =>
        run(({ jobs }) => jobs.move(id, epoch, 'paused', told, { epoch: 2, step: 3 }));
      expect(await move(2)).toBe(false);
      expect(await crew.job(id)).toMatchObject({ state: 'queued', step: 0 });
      expect(await run(({ jobs }) => jobs.events(id, 0, 9))).toEqual([]);
      expect(await move(1)).toBe(true);
      expect(await crew.job(id)).toMatchObject({ state: 'paused', epoch: 2, step: 3 });
      expect(await run(({ jobs }) => jobs.events(id, 0, 9))).toEqual([
        { ...told, seq: 1, epoch: 1, type: 'state', state: 'paused' },
      ]);
    });

    it('sees one instant, though others write meanwhile', async () => {
      const { id } = await crew.addJob();
      await run(({ jobs }) => jobs.appendEvent(id, makeEvent({ message: 'before' })));
      let writing: Promise<unknown> = Promise.resolve();
      const seen = await unitOfWork.read(async ({ jobs }) => {
        const job = await jobs.find(crew.id, id);
        writing = run(async (inside) => {
          await putInState(inside.jobs, id, 'running');
          await inside.jobs.appendEvent(id, makeEvent({ message: 'meanwhile' }));
        });
        // A store that takes turns begins to write only after the read.
        await Promise.race([writing, new Promise((resolve) => setTimeout(resolve, 300))]);
        return [job?.state, ...(await jobs.events(id, 0, 9)).map(({ message }) => message)];
      });
      expect(seen).toEqual(['queued', 'before']);
      await writing;
      expect((await crew.job(id)).state).toBe('running');
    });
  });
}

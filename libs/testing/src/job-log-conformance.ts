import { type JobLogLine } from '@lowrank/contracts';
import { type Seeded } from './catalog-conformance';
import { makeEvent } from './factories';
import { codeOf } from './object-store-conformance';

const at = new Date(Date.UTC(2026, 0, 1)).toISOString();
const lines = (...messages: string[]): Omit<JobLogLine, 'seq'>[] =>
  messages.map((message) => ({ at, epoch: 2, level: 'warn', message }));

/** The part of unitOfWorkConformance on logs of jobs, and on reading while others write. */
export function jobLogConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

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

    it('sees one instant, though others write meanwhile', async () => {
      const { id } = await crew.addJob();
      await run(({ jobs }) => jobs.appendEvent(id, makeEvent({ message: 'before' })));
      let writing: Promise<unknown> = Promise.resolve();
      const seen = await unitOfWork.read(async ({ jobs }) => {
        const job = await jobs.find(crew.id, id);
        writing = run(async (inside) => {
          await inside.jobs.update(id, 1, { state: 'running' });
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

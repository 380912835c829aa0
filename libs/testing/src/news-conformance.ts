import { locks, type News } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';

/** The part of unitOfWorkConformance on what holders of locks are told. */
export function newsConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  describe('news', () => {
    const never = new AbortController().signal;
    const minutes = 600_000;
    const told = <T>(work: (news: News) => Promise<T>) =>
      unitOfWork.exclusively(locks.dispatcher, (_lost, news) => work(news));
    const addNews = (jobId: string, workerId: string | null = null) =>
      run(async ({ outbox }) => void (await outbox.add({ jobId, epoch: 1, workerId })));

    it('reach the holder of the lock when they are committed, waiting or about to', async () => {
      const { id } = await crew.addJob();
      const heard = await told(async (news) => {
        const waiting = news.wait(minutes, never);
        await addNews(id);
        const first = await waiting;
        await addNews(id);
        // Told by now or soon.
        return [first, await news.wait(minutes, never), await news.wait(50, never)];
      });
      expect(heard).toEqual([true, true, false]);
    });

    it('are not of a transaction that throws, nor of wake-ups', async () => {
      const { id } = await crew.addJob();
      const throwing = run(async ({ outbox }) => {
        await outbox.add({ jobId: id, epoch: 1, workerId: null });
        throw new Error('changed my mind');
      });
      const heard = await told(async (news) => {
        await throwing.catch(() => undefined);
        await addNews(id, 'wrk_1');
        return news.wait(50, never);
      });
      expect(heard).toBe(false);
    });

    it('are not waited for any longer when the signal is aborted', async () => {
      const leaving = new AbortController();
      const heard = await told(async (news) => {
        const waiting = news.wait(minutes, leaving.signal);
        leaving.abort();
        return (await waiting) || news.wait(minutes, leaving.signal);
      });
      expect(heard).toBe(false);
    });
  });
}

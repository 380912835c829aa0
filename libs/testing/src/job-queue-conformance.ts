import {
  type AddressedWakeUp,
  type JobConsumer,
  type JobHandler,
  type JobQueue,
  type QueueInspector,
} from '@lowrank/domain';
import { setTimeout as sleep } from 'node:timers/promises';

export interface QueueUnderTest {
  queue: JobQueue;
  /** Looks at the same queue. */
  inspector: QueueInspector;
  consume(
    workerId: string,
    slots: number,
    handler: JobHandler,
    onError?: (error: Error) => void,
  ): JobConsumer;
  /** Ends the queue and removes everything it kept. */
  close(): Promise<void>;
}

const worker = `wrk_${'a'.repeat(24)}`;
const another = `wrk_${'b'.repeat(24)}`;
const wakeUp = (letter: string, epoch = 1, workerId = worker): AddressedWakeUp => ({
  jobId: `job_${letter.repeat(24)}`,
  epoch,
  workerId,
});

/** Waits until `condition` holds; fails after ten seconds. */
async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !condition(); await sleep(10)) {
    if (Date.now() > deadline) throw new Error(`not so within 10 s: ${condition}`);
  }
}

/** Everything the JobQueue port promises, checked on one backend. `open` makes an empty queue. */
export function jobQueueConformance(name: string, open: () => Promise<QueueUnderTest>): void {
  describe(`${name} keeps the promises of JobQueue`, () => {
    let under: QueueUnderTest;
    let consumers: JobConsumer[];
    const consumeAs = (...args: Parameters<QueueUnderTest['consume']>) => {
      const consumer = under.consume(...args);
      consumers.push(consumer);
      return consumer;
    };
    const consume = (slots: number, handler: JobHandler, onError?: (error: Error) => void) =>
      consumeAs(worker, slots, handler, onError);

    beforeEach(async () => {
      under = await open();
      consumers = [];
    });
    afterEach(async () => {
      await Promise.all(consumers.map((consumer) => consumer.close()));
      await under.close();
    });

    it('shows from outside what waits for workers and what runs', async () => {
      const { queue, inspector } = under;
      await inspector.probe();
      const see = async () => Object.fromEntries(await inspector.counts([worker, another]));
      expect(await see()).toEqual({
        [worker]: { waiting: 0, active: 0 },
        [another]: { waiting: 0, active: 0 },
      });
      for (const letter of ['a', 'b', 'c']) await queue.wake(wakeUp(letter));
      await queue.wake(wakeUp('d', 1, another));
      expect(await see()).toEqual({
        [worker]: { waiting: 3, active: 0 },
        [another]: { waiting: 1, active: 0 },
      });
      let running = 0;
      let end = (): void => {};
      const ended = new Promise<void>((resolve) => (end = resolve));
      consume(2, async () => {
        running++;
        await ended;
      });
      await until(() => running === 2);
      expect(Object.fromEntries(await inspector.counts([worker]))).toEqual({
        [worker]: { waiting: 1, active: 2 },
      });
      end();
    });

    it('delivers every wake-up, before and after a consumer is there', async () => {
      const seen: string[] = [];
      await under.queue.wake(wakeUp('a'));
      consume(2, async ({ jobId, epoch }) => void seen.push(`${jobId[4]}${epoch}`));
      await until(() => seen.length === 1);
      await under.queue.wake(wakeUp('b', 3));
      await until(() => seen.length === 2);
      expect(seen).toEqual(['a1', 'b3']);
    });

    it('delivers to the worker that is meant, whole', async () => {
      const seen: AddressedWakeUp[] = [];
      consumeAs(worker, 1, async () => {
        throw new Error('not meant');
      });
      consumeAs(another, 1, async (wake) => void seen.push(wake as AddressedWakeUp));
      await under.queue.wake(wakeUp('k', 7, another));
      await until(() => seen.length === 1);
      expect(seen).toEqual([wakeUp('k', 7, another)]);
    });

    it('forgets what waits for a worker, and only that', async () => {
      const seen: string[] = [];
      await under.queue.wake(wakeUp('l'));
      await under.queue.wake(wakeUp('m', 1, another));
      await under.queue.forget(worker);
      await under.queue.forget(`wrk_${'c'.repeat(24)}`);
      for (const id of [worker, another])
        consumeAs(id, 1, async ({ jobId }) => void seen.push(jobId.slice(4, 5)));
      await until(() => seen.length > 0);
      await under.queue.wake(wakeUp('n'));
      await until(() => seen.length === 2);
      expect(seen).toEqual(['m', 'n']);
    });

    it('takes the same attempt once while it waits or runs, and again afterwards', async () => {
      let runs = 0;
      let release = () => {};
      const held = new Promise<void>((resolve) => (release = resolve));
      await under.queue.wake(wakeUp('c'));
      await under.queue.wake(wakeUp('c'));
      consume(4, async () => {
        runs += 1;
        await held;
      });
      await until(() => runs === 1);
      await under.queue.wake(wakeUp('c'));
      await sleep(300);
      expect(runs).toBe(1);
      release();
      // The entry is gone a moment after its handler has returned.
      for (const deadline = Date.now() + 10_000; runs < 2 && Date.now() < deadline; await sleep(50))
        await under.queue.wake(wakeUp('c'));
      expect(runs).toBe(2);
    });

    it('reports what a handler throws and delivers the attempt again when it is woken again', async () => {
      const errors: string[] = [];
      let runs = 0;
      consume(
        1,
        async () => {
          runs += 1;
          if (runs === 1) throw new Error('first time');
        },
        (error) => errors.push(error.message),
      );
      await under.queue.wake(wakeUp('d'));
      await until(() => errors.length === 1);
      for (const deadline = Date.now() + 10_000; runs < 2 && Date.now() < deadline; await sleep(50))
        await under.queue.wake(wakeUp('d'));
      expect(runs).toBe(2);
      expect(errors).toEqual(['first time']);
    });

    it('runs at most as many handlers as there are slots', async () => {
      let running = 0;
      let most = 0;
      let done = 0;
      consume(2, async () => {
        running += 1;
        most = Math.max(most, running);
        await sleep(100);
        running -= 1;
        done += 1;
      });
      for (const letter of ['e', 'f', 'g', 'h', 'i']) await under.queue.wake(wakeUp(letter));
      await until(() => done === 5);
      expect(most).toBe(2);
    });

    it('waits on close until handlers have returned', async () => {
      let started = false;
      let finished = false;
      const consumer = consume(1, async () => {
        started = true;
        await sleep(200);
        finished = true;
      });
      await under.queue.wake(wakeUp('j'));
      await until(() => started);
      await consumer.close();
      expect(finished).toBe(true);
    });
  });
}

// Submit → the worker has the job, one job at a time on a quiet system: what a user waits for before training begins.
import { now, spread, startProcess } from './world.mjs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Times `count` jobs, one after the other. Milliseconds. */
export async function measureLatency(world, { redisUrl, prefix, folder, count }) {
  const settings = { mode: 'bare', databaseUrl: world.databaseUrl, redisUrl, prefix, slots: 4, folder };
  const worker = await startProcess('worker', settings);
  const seen = new Map();
  let told = () => {};
  worker.child.on('message', (message) => {
    seen.set(message.jobId, { ...seen.get(message.jobId), ...message });
    told();
  });
  const samples = [];
  try {
    for (let index = -10; index < count; index += 1) {
      const begin = now();
      const { id } = await world.submit();
      const committed = now();
      while (seen.get(id)?.done === undefined) await new Promise((resolve) => (told = resolve));
      const { at, claimedAt } = seen.get(id);
      // The first ones open connections.
      if (index >= 0)
        samples.push({ submit: committed - begin, dispatch: at - committed, claimed: claimedAt - begin });
      await sleep(20 + 30 * Math.random());
    }
  } finally {
    await worker.stop();
  }
  return {
    submit: spread(samples.map(({ submit }) => submit)),
    dispatch: spread(samples.map(({ dispatch }) => dispatch)),
    claimed: spread(samples.map(({ claimed }) => claimed)),
  };
}

import { type Manifest } from '@lowrank/contracts';
import { type TrainedAdapter } from '@lowrank/training';
import { CheckpointKeeper } from './checkpoint-keeper';

const state = (steps: number, evalLossAfter: number | null = null) =>
  ({ files: [], metrics: { steps, evalLossAfter }, templateSha256: '' }) as unknown as TrainedAdapter;

/** A keeper whose object store takes one state at a time, when the test says so. */
function setUp() {
  const kept: number[] = [];
  const messages: string[] = [];
  const asked: { steps: number; take: (error?: Error) => void }[] = [];
  const keeper = new CheckpointKeeper({
    store: ({ metrics }) =>
      new Promise((resolve, reject) => {
        const take = (error?: Error) => (error ? reject(error) : resolve({ metrics } as Manifest));
        asked.push({ steps: metrics.steps, take });
      }),
    onKept: ({ metrics }) => kept.push(metrics.steps),
    onMessage: (level, message) => messages.push(`${level} ${message}`),
  });
  const take = async (error?: Error) => {
    asked.at(-1)?.take(error);
    await new Promise(setImmediate);
  };
  return { keeper, kept, messages, asked, take };
}

it('stores one state at a time, and of those that come meanwhile the newest', async () => {
  const { keeper, kept, asked, take } = setUp();
  for (const steps of [1, 2, 3]) keeper.offer(state(steps));
  await take();
  await take();
  expect(kept).toEqual([1, 3]);
  expect(asked).toHaveLength(2);
});

it('lets a better state wait rather than a newer one', async () => {
  const { keeper, kept, take } = setUp();
  for (const [steps, loss] of [
    [1, 3],
    [2, 1],
    [3, 2],
    [4, null],
  ] as const)
    keeper.offer(state(steps, loss));
  await take();
  await take();
  expect(kept).toEqual([1, 2]);
});

it('goes on after one that the object store did not take, and tells of the first', async () => {
  const { keeper, kept, messages, take } = setUp();
  for (const [steps, error] of [
    [1, new Error('away')],
    [2, new Error('away')],
    [3, undefined],
    [4, new Error('away again')],
  ] as const) {
    keeper.offer(state(steps));
    await take(error);
  }
  expect(kept).toEqual([3]);
  expect(messages).toEqual([
    'warn the state after step 1 is not kept to be published: away',
    'warn the state after step 4 is not kept to be published: away again',
  ]);
});

it('waits at the end for what was offered, and passes on how training ended', async () => {
  const { keeper, kept, take } = setUp();
  const training = keeper.during(async () => {
    keeper.offer(state(1));
    throw new Error('diverged');
  });
  const ended = expect(training).rejects.toThrow('diverged');
  await new Promise(setImmediate);
  await take();
  await ended;
  expect(kept).toEqual([1]);
});

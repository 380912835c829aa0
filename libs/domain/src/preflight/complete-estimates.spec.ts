import { World } from '../test/world';
import { completeEstimates } from './complete-estimates';

const revision = 'a'.repeat(40);
const sha256 = 'd'.repeat(64);

describe('completeEstimates', () => {
  let world: World;
  beforeEach(() => (world = new World()));
  const complete = (of = { revision, sha256 }) => completeEstimates(world, of, of);

  it('writes steps, time and memory of jobs that were accepted before the tokens were counted', async () => {
    const { id, estimate: before } = await world.submit();
    const ended = await world.submit();
    world.job(ended.id).state = 'cancelled';
    expect(before).toMatchObject({ data: null, operations: null });
    expect(await complete()).toBe(0);
    world.plannedLengths = [30, 40, 20, 50];
    expect(await complete({ revision, sha256: 'e'.repeat(64) })).toBe(0);
    expect(await complete({ revision: 'b'.repeat(40), sha256 })).toBe(0);

    expect(await complete()).toBe(1);
    const { estimate, ...job } = world.job(id);
    expect(estimate).toMatchObject({ data: { steps: expect.any(Number) }, operations: expect.any(Number) });
    expect(estimate).toEqual((await world.submit()).estimate);
    expect(job.estimatedBytes).toBe(estimate?.memory?.bytes);
    expect(job.estimatedBytes).toBeLessThan(before?.memory?.bytes ?? 0);
    expect(world.tables.events.filter((event) => event.jobId === id).at(-1)?.message).toBe(
      `The tokens are counted: ${estimate?.data?.steps} steps on ${estimate?.data?.tokens} tokens.`,
    );
    expect(world.job(ended.id).estimate?.data).toBeNull();
    expect(await complete()).toBe(0);
  });

  it('knows the dataset that a job is evaluated on, and leaves jobs whose dataset is gone', async () => {
    const held = world.addDataset();
    const { id } = await world.submit({ validationDataset: held });
    const orphan = await world.submit();
    world.job(orphan.id).dataset.id = 'data_gone';
    world.plannedLengths = [30, 40];
    expect(await complete({ revision, sha256: '9'.repeat(64) })).toBe(1);
    expect(world.job(id).estimate?.data).not.toBeNull();
    expect(await complete()).toBe(0);
  });
});

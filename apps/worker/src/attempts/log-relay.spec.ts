import { type Ports, type Repositories } from '@lowrank/domain';
import { LogRelay } from './log-relay';

const attempt = { jobId: 'job_x', epoch: 1 };
const timings = { logBatch: 20, reportPatience: 1000 };

/** Postgres, of which only the log of one job matters. */
function store({ epoch = 1, failures = 0 } = {}) {
  const writes: string[][] = [];
  let left = failures;
  const jobs = {
    lock: async () => ({ epoch }),
    appendLog: async (_id: string, lines: { message: string }[]) =>
      void writes.push(lines.map(({ message }) => message)),
  };
  const unitOfWork = {
    run: <T>(work: (repositories: Repositories) => Promise<T>) =>
      left-- > 0 ? Promise.reject(new Error('away')) : work({ jobs } as unknown as Repositories),
  } as Ports['unitOfWork'];
  return { writes, ports: { unitOfWork, clock: { now: () => '2026-01-01T00:00:00.000Z' } } };
}

describe('LogRelay', () => {
  it('writes lines together, in their order, and all of them once it settles', async () => {
    const { writes, ports } = store();
    const relay = new LogRelay(ports, attempt, { ...timings, logBatch: 60_000 }, () => undefined);
    relay.push('info', 'a');
    relay.push('warn', 'b');
    await relay.settled();
    relay.push('info', 'c');
    await relay.settled();
    expect(writes).toEqual([['a', 'b'], ['c']]);
  });

  it('leaves lines out rather than let them pile up, and says how many', async () => {
    const { writes, ports } = store();
    const relay = new LogRelay(ports, attempt, timings, () => undefined);
    for (let i = 0; i < 1500; i++) relay.push('info', String(i));
    await relay.settled();
    expect(writes.map((lines) => lines.length)).toEqual([1001]);
    expect(writes[0]?.at(-1)).toMatch(/^500 lines were left out/);
  });

  it('tries again while Postgres is away', async () => {
    const { writes, ports } = store({ failures: 2 });
    const troubles: unknown[] = [];
    const relay = new LogRelay(ports, attempt, timings, (error) => troubles.push(error));
    relay.push('info', 'a');
    await relay.settled();
    expect(writes).toEqual([['a']]);
    expect(troubles).toHaveLength(2);
  });

  it('falls silent when the job has moved on', async () => {
    const { writes, ports } = store({ epoch: 2 });
    const relay = new LogRelay(ports, attempt, timings, () => undefined);
    for (const line of ['a', 'b']) {
      relay.push('info', line);
      await relay.settled();
    }
    expect(writes).toEqual([]);
  });
});

// What 100,000 queued jobs cost: memory of Redis, pages of the list, rounds of the dispatcher.
import Redis from 'ioredis';
import { openQueue } from './throughput.mjs';
import { dist, inParallel, now, redisOf, spread, sql } from './world.mjs';

const { carryWakeUps, overviewOf, randomIds, scheduleJobs } = dist('libs/domain/src/index.js');
const { createJobQueue } = dist('libs/queue/src/index.js');
const { wakeUpVersion } = dist('libs/contracts/src/index.js');

/** SQL of an id that is made of a number; ids have no 0, 1, 8, 9. */
const idOf = (prefix, number) => `'${prefix}_' || lpad(translate(${number}::text, '0189', 'abcd'), 24, 'x')`;

/** Copies of one submitted job, spread over teams and time. */
export async function queueJobs(world, count, teams) {
  const { id } = await world.submit();
  await sql(
    world.databaseUrl,
    `INSERT INTO teams (id, name, created_at)
     SELECT ${idOf('team', 'i')}, 'bench-' || i, now() FROM generate_series(1, $1 - 1) i`,
    [teams],
  );
  await sql(
    world.databaseUrl,
    `INSERT INTO adapters SELECT (jsonb_populate_record(adapters, jsonb_build_object(
       'id', ${idOf('adp', 'i')}, 'team_id', ${idOf('team', 'i')}))).*
     FROM adapters, generate_series(1, $2 - 1) i WHERE team_id = $1`,
    [world.teamId, teams],
  );
  // The first team has half of all: its pages are the deepest.
  await sql(
    world.databaseUrl,
    `INSERT INTO jobs SELECT (jsonb_populate_record(jobs, jsonb_build_object(
       'id', ${idOf('job', 'i')},
       'team_id', CASE WHEN i % 2 = 0 OR $3 = 1 THEN team_id ELSE ${idOf('team', '(1 + i / 2 % ($3 - 1))')} END,
       'created_at', created_at + i * interval '1 ms', 'queued_at', queued_at + i * interval '1 ms',
       'rank_at', rank_at + i * interval '1 ms'))).*
     FROM jobs, generate_series(1, $2) i WHERE id = $1`,
    [id, count - 1, teams],
  );
  await sql(world.databaseUrl, 'DELETE FROM outbox');
  await sql(world.databaseUrl, 'ANALYZE');
}

async function memoryOf(redis) {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))[1]);
}

/** Rounds of the dispatcher with that many jobs waiting and `workers` of one slot: with all slots free, then with none. */
export async function measureRounds(world, { workers, redisUrl, prefix, rounds }) {
  const { ports } = world;
  const queue = createJobQueue({ databaseUrl: world.databaseUrl, redis: redisOf(redisUrl), prefix });
  const redis = redisUrl === null ? null : new Redis(redisUrl);
  const before = redis && (await memoryOf(redis));
  const ids = Array.from({ length: workers }, () => randomIds.make('worker'));
  const see = () =>
    ports.unitOfWork.run(async (repositories) => {
      for (const id of ids)
        await repositories.workers.upsert({
          ...{ id, hostname: id, slots: 1, device: 'cpu', deviceClass: 'cpu', memoryBytes: 2 ** 34 },
          ...{ threads: 1, wakeUpVersion, usage: null, seenAt: ports.clock.now() },
        });
    });
  await see();
  const round = async () => {
    const begin = now();
    const { assigned, wakeUps } = await scheduleJobs(ports, { unseenAfterMs: 1e7, untakenAfterMs: 1e7 });
    await carryWakeUps(ports.unitOfWork, queue, wakeUps);
    return { ms: now() - begin, assigned };
  };
  const first = await round();
  const idle = [];
  for (let index = 0; index < rounds; index += 1) idle.push((await round()).ms);
  const overview = [];
  for (let index = 0; index < rounds; index += 1) {
    const begin = now();
    await overviewOf(ports);
    overview.push(now() - begin);
  }
  const redisBytes = redis && (await memoryOf(redis)) - before;
  redis?.disconnect();
  await queue.close();
  return { filling: first, full: spread(idle), overview: spread(overview), redisBytes };
}

/** The same number of entries waiting in BullMQ itself: what its queue would weigh if it held the backlog. */
export async function measureBullmqMemory(world, { redisUrl, prefix, count }) {
  const redis = new Redis(redisUrl);
  const before = await memoryOf(redis);
  const queue = openQueue(world.databaseUrl, redisUrl, prefix);
  await inParallel(Math.ceil(count / 1000), 4, (index) =>
    queue.addBulk(
      Array.from({ length: 1000 }, (_, place) => ({
        name: 'bench',
        data: {
          v: wakeUpVersion,
          jobId: randomIds.make('job'),
          epoch: 1,
          workerId: randomIds.make('worker'),
        },
        opts: { jobId: `bench-${index * 1000 + place}` },
      })),
    ),
  );
  const redisBytes = (await memoryOf(redis)) - before;
  await queue.obliterate({ force: true });
  await queue.close();
  redis.disconnect();
  return redisBytes;
}

/** Pages of a team's jobs over HTTP: at the newest, in the middle, at the oldest. */
export async function measurePages(world, { url, limit, times }) {
  const at = async (share) => {
    const [row] = await sql(
      world.databaseUrl,
      `SELECT id FROM jobs WHERE team_id = $1 ORDER BY created_at DESC, id DESC
       OFFSET (SELECT floor((count(*) - $2 - 1) * $3::float) FROM jobs WHERE team_id = $1) LIMIT 1`,
      [world.teamId, limit, share],
    );
    return row.id;
  };
  const pages = { first: '', middle: `&after=${await at(0.5)}`, last: `&after=${await at(1)}` };
  const results = {};
  for (const [name, query] of Object.entries(pages)) {
    const samples = [];
    for (let index = 0; index < times; index += 1) {
      const begin = now();
      const response = await fetch(`${url}/api/v1/jobs?limit=${limit}${query}`, {
        headers: { authorization: `Bearer ${world.secret}` },
      });
      const { data } = await response.json();
      if (response.status !== 200 || data.length !== limit)
        throw new Error(`page ${name}: ${response.status}`);
      samples.push(now() - begin);
    }
    results[name] = spread(samples);
  }
  return results;
}

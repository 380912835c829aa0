import { type ErrorBody, errorCatalog, type Job } from '@lowrank/contracts';
import { Installation, tinyRecipe } from '../harness/installation';
import { pause, until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

interface Load {
  answered: number;
  refused: number;
  unclean: string[];
  accepted: string[];
  stop(): Promise<void>;
}

function requestOf(
  lowrank: Installation,
  turn: number,
  mine: string | null,
): [method: string, path: string, body?: unknown] {
  if (turn % 3 === 0)
    return ['POST', '/api/v1/jobs', lowrank.request(tinyRecipe(1), { notBefore: '2100-01-01T00:00:00Z' })];
  return turn % 3 === 1 ? ['GET', '/api/v1/jobs?limit=5'] : ['POST', `/api/v1/jobs/${mine}/cancel`];
}

/** Clients that submit, look and cancel, one request after the other each, and note what they were answered. */
function load(lowrank: Installation, clients: number): Load {
  let over = false;
  const result = { answered: 0, refused: 0, unclean: [] as string[], accepted: [] as string[] };
  const one = async (): Promise<void> => {
    let mine: string | null = null;
    for (let turn = 0; !over; turn += 1) {
      const [method, path, body] = requestOf(lowrank, turn, mine);
      if (turn % 3 === 2 && mine === null) continue;
      // Asked once: what was cancelled cannot be cancelled again, also when the answer got lost.
      if (turn % 3 === 2) mine = null;
      try {
        const answer = await lowrank.client.ask<Job & ErrorBody>(method, path, body, 60);
        if (answer.status < 300) {
          result.answered += 1;
          if (turn % 3 === 0) result.accepted.push((mine = answer.body.id));
        } else {
          result.refused += 1;
          const { code } = answer.body.error ?? {};
          if (code === undefined || !(code in errorCatalog) || answer.status !== 503)
            result.unclean.push(`${method} ${path}: ${answer.status} ${code}`);
          await pause(0.05);
        }
      } catch (error) {
        result.unclean.push(`${method} ${path}: ${error instanceof Error ? error.message : error}`);
        await pause(0.05);
      }
    }
  };
  const all = Promise.all(Array.from({ length: clients }, one));
  return {
    ...result,
    get answered() {
      return result.answered;
    },
    get refused() {
      return result.refused;
    },
    stop: async () => {
      over = true;
      await all;
    },
  };
}

/** Postgres restarted, in turn as an upgrade does it and by SIGKILL, under requests and a job that trains. */
export const postgresRestarted: Failure = {
  id: '14',
  broken: 'Postgres restarted under load',
  required: 'requests fail cleanly or succeed, never half',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const restarts = scale.pick(10, 2);
      const problems = new Problems();
      const api = await lowrank.startApi();
      const { program } = await lowrank.startWorker();
      await lowrank.prepareCatalog();
      const training = await lowrank.submit(tinyRecipe(scale.pick(10_000, 2000), 50));
      await lowrank.training(training);
      const clients = load(lowrank, 6);
      for (let restart = 0; restart < restarts; restart += 1) {
        await pause(2);
        if (restart % 2 === 0) await lowrank.postgres.stop();
        else await lowrank.postgres.kill();
        await pause(1);
        await lowrank.postgres.start();
        const before = clients.answered;
        await until('requests to succeed again', async () => clients.answered > before);
      }
      await pause(1);
      await clients.stop();
      const versions = await lowrank.published(training);
      const { epoch } = await lowrank.row(training.id);

      const ids = (await lowrank.rows()).map(({ id }) => id);
      const lost = clients.accepted.filter((id) => !ids.includes(id)).length;
      const [{ half = '0' } = {}] = await lowrank.postgres.query<{ half: string }>(
        `SELECT count(*) AS half FROM jobs j
         WHERE NOT EXISTS (SELECT 1 FROM job_events e WHERE e.job_id = j.id AND e.state = 'queued' AND e.seq = 1)
            OR j.event_seq <> (SELECT count(*) FROM job_events e WHERE e.job_id = j.id)
            OR (SELECT e.state FROM job_events e WHERE e.job_id = j.id AND e.state IS NOT NULL ORDER BY seq DESC LIMIT 1) <> j.state`,
      );
      const unclean = [...new Set(clients.unclean)];
      problems.none(lost, 'accepted jobs are gone');
      problems.none(Number(half), 'jobs written half');
      problems.check(unclean.length === 0, `unclean answers:\n${unclean.slice(0, 10).join('\n')}`);
      problems.check(versions.length === 1 && epoch === 1, `the job that trained took ${epoch} attempts`);
      problems.check(api.isAlive && program.isAlive, 'API or worker ended');
      return {
        figure: `${restarts} restarts: ${clients.answered} requests answered, ${clients.refused} refused with 503, ${clients.unclean.length} unclean; ${clients.accepted.length} jobs accepted, ${lost} gone, ${half} half; training went on (${epoch} attempt)`,
        problems: problems.list,
        values: {
          restarts,
          answered: clients.answered,
          refused: clients.refused,
          unclean: clients.unclean.length,
          lost,
          half: Number(half),
          attempts: epoch,
        },
      };
    }),
};

import { Client as Listener } from 'pg';
import { Installation, tinyRecipe } from '../harness/installation';
import { until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

/** Says when a transaction that accepts a job has been committed: Postgres delivers a notification with the commit. */
const trigger = `
  CREATE FUNCTION tell_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_notify('accepted', NEW.job_id); RETURN NEW; END $$;
  CREATE TRIGGER tell_outbox AFTER INSERT ON outbox FOR EACH ROW WHEN (NEW.worker_id IS NULL AND NEW.epoch = 1)
    EXECUTE FUNCTION tell_outbox()`;

/**
 * The API is killed the moment that Postgres has committed a job, mostly before its client has an answer and before the dispatcher
 * has carried anything to Redis. Every job that was committed has to reach a worker.
 */
export const apiKilled: Failure = {
  id: '2',
  broken: 'API SIGKILLed between commit and enqueue',
  required: 'every accepted job queued within 30 s',
  run: (scale) =>
    Installation.with(async (lowrank) => {
      const kills = scale.kills(500, 8);
      const problems = new Problems();
      let api = await lowrank.startApi();
      await lowrank.startWorker({ slots: 8 });
      await lowrank.prepareCatalog();
      await lowrank.postgres.query(trigger);
      const listener = new Listener({ connectionString: lowrank.postgres.url });
      await listener.connect();
      await listener.query('LISTEN accepted');
      let unanswered = 0;
      let accepted = 0;
      try {
        for (let kill = 0; kill < kills; kill += 1) {
          const committed = new Promise<void>((resolve) => {
            listener.once('notification', () => {
              api.signal('SIGKILL');
              resolve();
            });
          });
          const answered = lowrank.submit(tinyRecipe(1)).then(
            () => true,
            () => false,
          );
          await Promise.race([committed, answered.then((accepted) => (accepted ? committed : undefined))]);
          await api.kill();
          if (await answered) accepted += 1;
          else unanswered += 1;
          api = await lowrank.startApi();
        }
      } finally {
        await listener.end();
      }
      const [{ count = '0' } = {}] = await lowrank.postgres.query<{ count: string }>(
        'SELECT count(*) FROM jobs',
      );
      problems.check(Number(count) >= accepted, `${accepted} jobs were accepted and ${count} are there`);
      problems.check(Number(count) === kills, `${count} jobs were committed in ${kills} kills`);
      await until(
        'every job to end',
        async () => (await lowrank.countByState()).succeeded === Number(count),
        { everyMs: 500, seconds: 3600 },
      );
      // From its submission to the moment that a slot was chosen for it and the wake-up written: the event of the claim is later still.
      const [{ slowest = 0 } = {}] = await lowrank.postgres.query<{ slowest: number }>(
        `SELECT max(extract(epoch FROM e.at - j.created_at))::float AS slowest
         FROM jobs j JOIN job_events e ON e.job_id = j.id AND e.state = 'preparing' AND e.epoch = 1`,
      );
      problems.atMost(slowest, 30, 'seconds from commit to claim');
      return {
        figure: `${kills} kills, ${count} jobs committed (${unanswered} without an answer): all taken by a worker, the slowest after ${slowest.toFixed(1)} s`,
        problems: problems.list,
        values: { kills, committed: Number(count), unanswered, slowestSeconds: slowest },
      };
    }),
};

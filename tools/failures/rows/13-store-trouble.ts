import { tinyRecipe } from '../harness/installation';
import { type Weather, withStore } from '../harness/store-proxy';
import { pause, until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

/** Trouble of the object store while jobs fetch, train and publish. Every job has to come through it, whole. */
export const storeTrouble: Failure = {
  id: '13',
  broken: 'S3 down, slow, or answering 500 and 503',
  required: 'back off and go on; nothing half-published',
  run: (scale) =>
    withStore(async (lowrank, proxy) => {
      const seconds = scale.pick(20, 8);
      const weathers: [string, Weather][] = [
        ['down', { type: 'down' }],
        ['500', { type: 'status', status: 500 }],
        ['503', { type: 'status', status: 503 }],
        ['every third 503', { type: 'status', status: 503, share: 1 / 3 }],
        ['slow', { type: 'slow', ms: 2000 }],
      ];
      const problems = new Problems();
      await lowrank.startApi();
      const { program } = await lowrank.startWorker();
      await lowrank.prepareCatalog();
      const met: string[] = [];
      let attempts = 0;
      let half = 0;
      for (const [name, weather] of weathers) {
        const troubledBefore = proxy.troubled;
        const job = await lowrank.submit(tinyRecipe(40, 10, { seed: attempts }));
        await until('the job to begin', async () => (await lowrank.row(job.id)).state !== 'queued', {
          everyMs: 10,
        });
        proxy.weather = weather;
        await pause(seconds);
        // A slow machine may have asked for nothing so far.
        await until(
          'a request in trouble',
          async () => proxy.troubled > troubledBefore || (await lowrank.row(job.id)).state === 'succeeded',
        );
        half += (await lowrank.client.versions(job.adapter)).filter(({ files }) => files.length < 3).length;
        proxy.weather = { type: 'pass' };
        const versions = await lowrank.published(job).catch((error: Error) => {
          problems.list.push(`${name}: ${error.message}`);
          return [];
        });
        for (const { path } of versions[0]?.files ?? []) {
          const { status } = await lowrank.client.download(job.adapter, 1, `files/${path}`);
          problems.check(status === 200, `${name}: ${path} answers ${status}`);
        }
        attempts += (await lowrank.row(job.id)).epoch;
        const troubled = proxy.troubled - troubledBefore;
        problems.check(troubled > 0, `${name}: no request met the trouble`);
        met.push(`${name} ${troubled}`);
      }
      problems.none(half, 'incomplete versions were visible');
      problems.check(program.isAlive, 'the worker ended');
      return {
        figure: `requests in trouble, ${seconds} s each: ${met.join(', ')}; ${weathers.length} jobs published in ${attempts} attempts, ${half} half`,
        problems: problems.list,
        values: { seconds, jobs: weathers.length, attempts, half },
      };
    }),
};

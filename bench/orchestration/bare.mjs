// What the API is measured against: Fastify with nothing on it, on the same rows of the same database; `client` says through what: the
// product's own repositories as the API asks them, bound by row-level security; the same without it; or node-postgres with
// prepared statements, the shortest way there is.
import Fastify from 'fastify';
import { createRequire } from 'node:module';
import { dist } from './world.mjs';

const { Pool } = createRequire(import.meta.url)('pg');
const { createUnitOfWork } = dist('libs/db/src/index.js');
const { client, databaseUrl, teamId } = JSON.parse(process.argv[2]);

function repositories({ isBound }) {
  const unitOfWork = createUnitOfWork(databaseUrl);
  const { look } = isBound ? unitOfWork.forTeam(teamId) : unitOfWork;
  return {
    find: (id) => look(({ jobs }) => jobs.detail(teamId, id)),
    list: (limit) => look(({ jobs }) => jobs.list(teamId, { limit })),
    close: () => unitOfWork.close(),
  };
}

function driver() {
  const pool = new Pool({ connectionString: databaseUrl, max: 10 });
  const query = async (name, text, values) => (await pool.query({ name, text, values })).rows;
  return {
    find: async (id) =>
      (await query('job', 'SELECT * FROM jobs WHERE team_id = $1 AND id = $2', [teamId, id]))[0],
    async list(limit) {
      const text = 'SELECT * FROM jobs WHERE team_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2';
      const rows = await query('jobs', text, [teamId, limit + 1]);
      return { data: rows.slice(0, limit), hasMore: rows.length > limit };
    },
    close: () => pool.end(),
  };
}

const { find, list, close } =
  client === 'driver' ? driver() : repositories({ isBound: client === 'repositories' });
const fastify = Fastify();
fastify.get('/api/v1/jobs/:id', (request) => find(request.params.id));
fastify.get('/api/v1/jobs', (request) => list(Number(request.query.limit)));
process.on('SIGTERM', async () => {
  await fastify.close();
  await close();
  process.exit(0);
});
process.send(await fastify.listen({ port: 0, host: '127.0.0.1' }));

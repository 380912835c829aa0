import { type Parent } from '@lowrank/contracts';
import { type Repositories, type UnitOfWork } from '@lowrank/domain';
import {
  codeOf,
  makeDataset,
  makeEvaluationManifest,
  makeExportManifest,
  makeGate,
  makeManifest,
  seedTeam,
  type SeededTeam,
} from '@lowrank/testing';
import { SpecDatabase } from './test/database';
import { createUnitOfWork } from './unit-of-work';

const database = new SpecDatabase();
let other: SeededTeam;
let mine: UnitOfWork;
beforeEach(async () => {
  other = await seedTeam(database.unitOfWork, 'other');
  mine = database.unitOfWork.forTeam(database.crew.id);
});

/** Belong to no team. */
const shared = ['parties', 'workers'];
/** Has what a team lets others read: a test of its own. */
const between = ['grants'];
/** Are not for who answers requests. */
const closed = ['discarded_blobs', 'sessions', 'sign_in_attempts'];
const asTeam = async (teamId: string | null, text: string) => {
  await database.sql('BEGIN; SET LOCAL ROLE lowrank_api');
  try {
    if (teamId !== null) await database.sql(`SELECT set_config('lowrank.team_id', $1, true)`, [teamId]);
    return await database.sql<{ count: string }>(text);
  } finally {
    await database.sql('ROLLBACK');
  }
};

/** Two teams with a row in every table. */
async function fill(): Promise<void> {
  for (const team of [database.crew, other]) {
    const { id } = await team.addJob();
    const parents: Parent[] = [{ versionId: 'ver_gone', adapter: 'captain', number: 1, kind: 'continued' }];
    const manifest = makeManifest(await team.addJob(), { parents });
    const at = '2026-01-01T00:00:00.000Z';
    const move = {
      seq: 1,
      action: 'move' as const,
      from: null,
      to: 1,
      returnsTo: null,
      gate: null,
      at,
      by: 'a',
    };
    const exported = makeExportManifest(await team.addJob(), `ver_${team.id}`);
    const evaluated = makeEvaluationManifest(await team.addJob(), `ver_${team.id}`);
    await database.run(async ({ adapters, aliases, evaluations, exports, gates }) => {
      await adapters.publish(team.id, { id: `ver_${team.id}`, manifest, at });
      await aliases.record(team.id, manifest.adapter, 'prod', move);
      await exports.publish(team.id, exported, at);
      const { dataset } = team;
      const { limits } = makeGate(dataset);
      await evaluations.publish(team.id, evaluated, { dataset, limits, move: null, at });
      await gates.put(team.id, makeGate(dataset));
    });
    await database.sql(`
      INSERT INTO team_usage (team_id, hour, seconds) VALUES ('${team.id}', now(), 1);
      INSERT INTO uploads (id, team_id, filename, bytes, fields, part_bytes, store_upload, created_at, expires_at)
        VALUES ('upl_${team.id}', '${team.id}', 'a', 1, '{}', 1, 'a', now(), now());
      INSERT INTO dataset_names (team_id, name) VALUES ('${team.id}', 'more');
      INSERT INTO pins SELECT '${team.id}', id, 'prod', now(), 'a' FROM adapters WHERE team_id = '${team.id}' LIMIT 1;
      INSERT INTO completion_usage VALUES ('${team.id}', now(), 'key', 'a', 'a', 'a', 'a', 1, 1, 1, 1);
      INSERT INTO api_keys (id, team_id, name, role, hint, secret_sha256, created_at)
        VALUES ('key_${team.id}', '${team.id}', 'a', 'member', 'a', encode(sha256('${team.id}'), 'hex'), now());
      INSERT INTO job_events (job_id, seq, at, epoch, level, type, message)
        VALUES ('${id}', 9, now(), 1, 'info', 'message', 'a');
      INSERT INTO job_metrics (job_id, step, kind, at, loss, epochs) VALUES ('${id}', 1, 'train', now(), 1, 1);
      INSERT INTO job_log (job_id, seq, at, epoch, level, message) VALUES ('${id}', 1, now(), 1, 'info', 'a');
      INSERT INTO job_samples (job_id, step, at, samples) VALUES ('${id}', 1, now(), '[]');
      INSERT INTO job_checkpoints (job_id, step, at, manifest) VALUES ('${id}', 1, now(), '{"files": []}');
      INSERT INTO outbox (job_id, epoch) VALUES ('${id}', 1);
      INSERT INTO webhooks (id, team_id, url, events, secret, enabled, created_at)
        VALUES ('whk_${team.id}', '${team.id}', 'https://a.example', '[]', 'whsec_a', true, now());
      INSERT INTO webhook_deliveries (id, webhook_id, type, body, state, created_at)
        VALUES ('msg_${team.id}', 'whk_${team.id}', 'webhook.test', '{}', 'dead', now());
      INSERT INTO sweeps (id, team_id, state, base_model_id, base_model_name, base_model_revision, dataset_id,
          dataset_filename, dataset_sha256, adapter, recipe, space, method, metric, created_at)
        VALUES ('swp_${team.id}', '${team.id}', 'running', '${team.baseModel.id}', 'a', 'a', 'a', 'a', 'a', 'captain',
          '{}', '{}', '{}', 'loss', now());
      INSERT INTO sweep_trials (sweep_id, number, job_id, parameters) VALUES ('swp_${team.id}', 1, '${id}', '{}');
      INSERT INTO users (id, email, name, password_hash, created_at) VALUES ('usr_${team.id}', '${team.id}@a.org', 'a', 'a', now());
      INSERT INTO members (team_id, user_id, role, created_at) VALUES ('${team.id}', 'usr_${team.id}', 'viewer', now());
      INSERT INTO sessions (id, user_id, team_id, secret_sha256, created_at, used_at, expires_at)
        VALUES ('ses_${team.id}', 'usr_${team.id}', '${team.id}', '${team.id}', now(), now(), now());
      INSERT INTO password_resets (id, team_id, user_id, token_sha256, created_at, expires_at)
        VALUES ('rst_${team.id}', '${team.id}', 'usr_${team.id}', '${team.id}', now(), now());
      INSERT INTO invitations (id, team_id, email, role, token_sha256, created_at, expires_at)
        VALUES ('inv_${team.id}', '${team.id}', 'a@a.org', 'viewer', '${team.id}', now(), now());
      INSERT INTO audit_log (id, team_id, actor_type, actor_id, actor_name, action, change, target_kind, details, request_id)
        VALUES ('aud_${team.id}', '${team.id}', 'key', 'a', 'a', 'jobs.submit', 'submit', 'job', '{}', 'a');
      INSERT INTO sweep_reports (sweep_id, rung, trial, step, value, at) VALUES ('swp_${team.id}', 0, 1, 1, 1, now())`);
  }
}

const tables = async () =>
  (
    await database.sql<{ name: string }>(
      `SELECT tablename AS name FROM pg_tables
       WHERE schemaname = 'public' AND tablename <> '_prisma_migrations' ORDER BY 1`,
    )
  ).map(({ name }) => name);

it('guards every table, but those that belong to no team', async () => {
  const guarded = await database.sql<{ name: string }>(
    `SELECT c.relname AS name FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid AND p.polcmd = '*'
     WHERE c.relrowsecurity AND p.polroles = ARRAY['lowrank_api'::regrole::oid] ORDER BY 1`,
  );
  expect([...guarded.map(({ name }) => name), ...shared, ...closed].sort()).toEqual(await tables());
});

it('shows each team its own rows of every table, and none without a team', async () => {
  await fill();
  const seen: Record<string, string[]> = {};
  for (const table of (await tables()).filter((name) => ![...shared, ...closed, ...between].includes(name))) {
    const count = `SELECT count(*) FROM ${table}`;
    const counts = [await database.sql<{ count: string }>(count)];
    for (const team of [database.crew.id, other.id, 'team_none', '', null])
      counts.push(await asTeam(team, count));
    seen[table] = counts.map(([row]) => row?.count ?? '');
  }
  for (const [table, [all, first, second, ...nobody]] of Object.entries(seen)) {
    expect([table, Number(first), Number(second)]).toEqual([table, Number(all) / 2, Number(all) / 2]);
    expect([table, Number(first) > 0, nobody]).toEqual([table, true, ['0', '0', '0']]);
  }
});

it('does not let a forgotten filter leak, by any kind of transaction', async () => {
  const theirs = await other.addJob();
  const ways: ((work: (repositories: Repositories) => Promise<unknown>) => Promise<unknown>)[] = [
    mine.run,
    mine.runLightly,
    mine.look,
    mine.read,
  ];
  for (const way of ways) {
    expect(await way(({ jobs }) => jobs.find(other.id, theirs.id))).toBeNull();
    expect(await way(({ jobs }) => jobs.events(theirs.id, 0, 9))).toEqual([]);
    expect(await way(({ datasets }) => datasets.list(other.id, { limit: 9 }))).toMatchObject({ data: [] });
    expect(await way(({ datasets }) => datasets.list(database.crew.id, { limit: 9 }))).toMatchObject({
      data: [{ id: database.crew.dataset.id }],
    });
  }
  expect(await mine.acrossTeams.look(({ jobs }) => jobs.find(other.id, theirs.id))).not.toBeNull();
});

it("writes no row of another team's", async () => {
  const theirs = await other.addJob();
  await expect(mine.run(({ datasets }) => datasets.insert(other.id, makeDataset()))).rejects.toThrow(
    'row-level security',
  );
  await expect(mine.look(({ datasets }) => datasets.insert(other.id, makeDataset()))).rejects.toThrow(
    'row-level security',
  );
  expect(await mine.run(({ jobs }) => jobs.update(theirs.id, 1, { step: 7 }))).toBe(false);
  expect(await mine.run(({ datasets }) => datasets.delete(other.id, other.dataset.id))).toBe(false);
  expect(await other.job(theirs.id)).toMatchObject({ step: 0 });
});

it('shows who answers requests no session, and no hash of a password', async () => {
  await fill();
  for (const text of [
    'SELECT id FROM sessions',
    'SELECT sha256 FROM discarded_blobs',
    'SELECT password_hash FROM users',
  ])
    await expect(asTeam(database.crew.id, text)).rejects.toThrow('permission denied');
});

it('shows a team what it was granted, to read, and no row besides', async () => {
  await fill();
  const counts = async () => {
    const all: Record<string, number> = {};
    for (const table of (await tables()).filter((name) => !closed.includes(name)))
      all[table] = Number((await asTeam(other.id, `SELECT count(*) FROM ${table}`))[0]?.count);
    return all;
  };
  const before = await counts();
  const [{ id: adapter } = { id: '' }] = await database.sql<{ id: string }>(
    `SELECT id FROM adapters WHERE team_id = '${database.crew.id}' AND latest_version IS NOT NULL`,
  );
  const grant = (
    alias: string,
  ) => `DELETE FROM grants; INSERT INTO grants (id, team_id, adapter_id, to_team_id, alias, created_at)
    VALUES ('grt_a', '${database.crew.id}', '${adapter}', '${other.id}', ${alias}, now())`;
  const more = { grants: 1, teams: 1, adapters: 1, adapter_versions: 1, aliases: 1 };
  const plus = (extra: Record<string, number>) =>
    Object.fromEntries(Object.entries(before).map(([table, count]) => [table, count + (extra[table] ?? 0)]));
  await database.sql(grant('NULL'));
  expect(await counts()).toEqual(plus(more));
  await database.sql(grant("'prod'"));
  expect(await counts()).toEqual(plus(more));
  for (const [table, column] of [
    ['adapters', 'id'],
    ['adapter_versions', 'adapter_id'],
    ['aliases', 'adapter_id'],
    ['grants', 'adapter_id'],
  ]) {
    const there = `WHERE ${column} = '${adapter}'`;
    expect(
      await asTeam(
        other.id,
        `WITH gone AS (DELETE FROM ${table} ${there} RETURNING 1) SELECT count(*) FROM gone`,
      ),
    ).toEqual([{ count: '0' }]);
    const changed = `WITH changed AS (UPDATE ${table} SET ${column} = ${column} ${there} RETURNING 1) SELECT count(*) FROM changed`;
    expect(await asTeam(other.id, changed)).toEqual([{ count: '0' }]);
  }
  await database.sql(grant("'other'"));
  expect(await counts()).toEqual(plus({ ...more, adapter_versions: 0, aliases: 0 }));
  await database.sql('DELETE FROM grants');
  expect(await counts()).toEqual(before);
});

it('lets nobody who answers requests take back what the audit log has', async () => {
  await fill();
  for (const text of ['DELETE FROM audit_log', "UPDATE audit_log SET actor_id = 'b'", 'TRUNCATE audit_log'])
    await expect(asTeam(database.crew.id, text)).rejects.toThrow('permission denied');
});

it('keeps teams apart that share one connection, at once and after errors', async () => {
  const unitOfWork = createUnitOfWork(database.url, { max: 1 });
  try {
    const list = (team: SeededTeam) =>
      unitOfWork.forTeam(team.id).look(({ datasets }) => datasets.find(team.id, team.dataset.id));
    const all = Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? database.crew : other));
    const found = await Promise.all(all.map(list));
    expect(found.map((dataset) => dataset?.id)).toEqual(all.map((team) => team.dataset.id));
    const failing = () =>
      unitOfWork.forTeam(other.id).look(({ datasets }) => datasets.insert(database.crew.id, makeDataset()));
    await expect(failing()).rejects.toThrow();
    const twice = makeDataset();
    const insert = () =>
      unitOfWork.forTeam(other.id).look(({ datasets }) => datasets.insert(other.id, twice));
    await insert();
    expect(await codeOf(insert())).toBe('conflict');
    expect(await list(database.crew)).toEqual(database.crew.dataset);
    // The owner, on the same connection, is bound by nothing that was set for a team.
    expect(await unitOfWork.look(({ teams }) => teams.find(other.id))).not.toBeNull();
    expect(await unitOfWork.run(({ teams }) => teams.find(other.id))).not.toBeNull();
  } finally {
    await unitOfWork.close();
  }
});

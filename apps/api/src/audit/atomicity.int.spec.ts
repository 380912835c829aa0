import { isChange } from '@lowrank/contracts';
import { createApiKey } from '@lowrank/domain';
import { TestApi } from '../test/api';
import { targetsOf } from '../test/matrix';
import { samplesOf } from '../test/samples';

/*
 * A change and its row in the audit log are one transaction: where the row cannot be written, nothing has changed. Every changing route
 * is asked as the owner while the log refuses rows, and again when it takes them.
 */
let api: TestApi;
let key: string;
beforeAll(async () => {
  api = await TestApi.start();
  key = (await createApiKey(api.ports, api.teamId, { name: 'owner', role: 'owner' })).secret;
  await api.sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the log is full'; END $$`);
  await api.sql('CREATE TRIGGER refuse BEFORE INSERT ON audit_log EXECUTE FUNCTION refuse()');
  // Of every table a hash of its rows, but for failures to sign in, which are counted whatever becomes of the request.
  await api.sql(`CREATE FUNCTION all_rows() RETURNS TABLE (name text, rows text) LANGUAGE plpgsql AS $$
    BEGIN
      FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'sign_in_attempts' LOOP
        EXECUTE format('SELECT coalesce(md5(string_agg(r::text, '','' ORDER BY r::text)), '''') FROM %I r', name) INTO rows;
        RETURN NEXT;
      END LOOP;
    END $$`);
});
afterAll(() => api.close());

const state = () => api.sql<{ name: string; rows: string }>('SELECT * FROM all_rows() ORDER BY name');
const letLogTakeRows = (takes: boolean) =>
  api.sql(`ALTER TABLE audit_log ${takes ? 'DISABLE' : 'ENABLE'} TRIGGER refuse`);

it('changes nothing where the audit log cannot be written', async () => {
  let samples = await samplesOf(api, api.teamId);
  const routes = Object.keys(targetsOf(samples)).filter((route) => {
    const action = api.actions.get(route);
    return action !== undefined && isChange(action);
  });
  const changing: string[] = [];
  for (const route of routes) {
    const [method = ''] = route.split(' ');
    const { path, json } = targetsOf(samples)[route] as { path: string; json?: unknown };
    const ask = async () => {
      const response = await api.fetch(method, path, { key, json });
      await response.arrayBuffer();
      return response.status;
    };
    await letLogTakeRows(false);
    const before = await state();
    const refused = await ask();
    expect([route, refused, await state()]).toEqual([route, refused, before]);
    await letLogTakeRows(true);
    const status = await ask();
    if (status >= 300) continue;
    expect([route, refused]).toEqual([route, 500]);
    changing.push(route);
    // What it has changed may be in the way of the next. A team has no more than so many uploads.
    await api.sql('DELETE FROM uploads');
    samples = await samplesOf(api, api.teamId);
  }
  // Half of the matrix's requests change something by themselves; the others are made to be refused late.
  expect(changing.length).toBeGreaterThanOrEqual(36);
}, 240_000);

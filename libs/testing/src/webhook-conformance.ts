import { type Webhook } from '@lowrank/contracts';
import { type DeliveryPatch, locks, randomIds } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { seedTeam } from './seed';

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();

const makeWebhook = (overrides: Partial<Webhook> = {}): Webhook & { secret: string } => ({
  id: randomIds.make('webhook'),
  url: 'https://hooks.example/',
  events: ['job.queued', 'job.succeeded'],
  enabled: true,
  createdAt: at(0),
  secret: 'whsec_c2VjcmV0',
  ...overrides,
});

const withoutSecret = ({ id, url, events, enabled, createdAt }: Webhook): Webhook => ({
  ...{ id, url, events, enabled, createdAt },
});

/** The part of unitOfWorkConformance on webhooks and their deliveries. */
export function webhookConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  describe('webhooks', () => {
    const add = async (overrides?: Partial<Webhook>) => {
      const webhook = makeWebhook(overrides);
      await run(({ webhooks }) => webhooks.insert(crew.id, webhook));
      return webhook;
    };
    const announce = (second: number, body = '{"a": 1,  "b":"数"}', teamId = crew.id) =>
      run(({ webhooks }) =>
        webhooks.announce(teamId, { type: 'job.queued', bodies: [body], at: at(second) }),
      );
    /** In order of age; which comes first of those that are claimed together is not promised. */
    const claim = async (
      second: number,
      options: Partial<{ limit: number; perWebhook: number; except: string[] }> = {},
    ) => {
      const now = at(second);
      const until = at(second + 30);
      const all = { now, until, limit: 99, perWebhook: 99, except: [], ...options };
      const due = await run(({ webhooks }) => webhooks.claim(all));
      return due.sort((a, b) => a.createdAt.localeCompare(b.createdAt));
    };
    const over: DeliveryPatch = {
      state: 'delivered',
      nextAttemptAt: null,
      lastStatus: 204,
      lastError: null,
      finishedAt: at(50),
    };

    it('tell their sender of what is due, and only when there is something', async () => {
      const told = (work: () => Promise<unknown>, patienceMs: number) =>
        unitOfWork.exclusively(locks.webhooks, async (_lost, news) => {
          await work();
          return news.wait(patienceMs, new AbortController().signal);
        });
      expect(await told(() => announce(1), 50)).toBe(false);
      const webhook = await add();
      expect(await told(() => announce(1), 600_000)).toBe(true);
      const [due] = await claim(2);
      await run(({ webhooks }) => webhooks.settle(due?.id ?? '', 1, over));
      const replay = () => run(({ webhooks }) => webhooks.replay(crew.id, webhook.id, due?.id ?? '', at(3)));
      expect(await told(replay, 600_000)).toBe(true);
    });

    it('come back as they were written but for their secret, newest first, and to their team only', async () => {
      const other = await seedTeam(unitOfWork, 'other');
      const older = withoutSecret(await add());
      const newer = withoutSecret(await add({ createdAt: at(1), enabled: false }));
      expect(await run(({ webhooks }) => webhooks.list(crew.id))).toEqual([newer, older]);
      expect(await run(({ webhooks }) => webhooks.find(crew.id, older.id))).toEqual(older);
      expect(await run(({ webhooks }) => webhooks.find(other.id, older.id))).toBeNull();
      expect(await run(({ webhooks }) => webhooks.list(other.id))).toEqual([]);
      const patch = { url: 'https://other.example/', events: ['job.failed' as const] };
      expect(await run(({ webhooks }) => webhooks.change(crew.id, newer.id, patch))).toBe(true);
      expect(await run(({ webhooks }) => webhooks.change(other.id, newer.id, { enabled: true }))).toBe(false);
      expect(await run(({ webhooks }) => webhooks.find(crew.id, newer.id))).toEqual({ ...newer, ...patch });
      expect(await run(({ webhooks }) => webhooks.remove(other.id, newer.id))).toBe(false);
      expect(await run(({ webhooks }) => webhooks.remove(crew.id, newer.id))).toBe(true);
      expect(await run(({ webhooks }) => webhooks.list(crew.id))).toEqual([older]);
    });

    it('get a delivery each of what they want, byte for byte', async () => {
      const other = await seedTeam(unitOfWork, 'other');
      const one = await add();
      const two = await add();
      await add({ enabled: false });
      await add({ events: ['job.failed'] });
      await announce(1);
      await announce(1, 'x', other.id);
      const due = await claim(1);
      expect(due.map(({ webhookId }) => webhookId).sort()).toEqual([one.id, two.id].sort());
      expect(due[0]).toEqual({
        id: expect.stringMatching(/^msg_/),
        webhookId: due[0]?.webhookId,
        url: one.url,
        secrets: [one.secret],
        body: '{"a": 1,  "b":"数"}',
        attempts: 1,
        createdAt: at(1),
      });
    });

    it('are sent one delivery by themselves, whatever they want', async () => {
      const { id } = await add({ events: ['job.failed'] });
      await add();
      const delivery = await run(({ webhooks }) =>
        webhooks.deliver(id, { type: 'webhook.test', body: '{}', at: at(1) }),
      );
      expect(delivery).toMatchObject({ type: 'webhook.test', state: 'pending', attempts: 0 });
      expect(await claim(1)).toMatchObject([{ id: delivery.id, webhookId: id, body: '{}' }]);
    });

    it('sign with the secret before, too, for a while after a change', async () => {
      const { id, secret } = await add();
      const rotate = (next: string, until: number, team = crew.id) =>
        run(({ webhooks }) => webhooks.rotate(team, id, next, at(until)));
      expect(await rotate('whsec_Mg==', 20)).toBe(true);
      await announce(1);
      const signedWith = async (second: number) => (await claim(second))[0]?.secrets;
      expect(await signedWith(1)).toEqual(['whsec_Mg==', secret]);
      expect(await signedWith(40)).toEqual(['whsec_Mg==']);
      expect(await rotate('whsec_Mw==', 200)).toBe(true);
      expect(await signedWith(80)).toEqual(['whsec_Mw==', 'whsec_Mg==']);
      expect(await rotate('whsec_NA==', 200, 'team_other')).toBe(false);
      expect(JSON.stringify(await run(({ webhooks }) => webhooks.list(crew.id)))).not.toContain('whsec_');
    });

    it('have their deliveries claimed once, the longest due first, so many of each, and again when nobody settles', async () => {
      const [one, two] = [await add(), await add()];
      for (const second of [1, 2, 3]) await announce(second);
      expect(await claim(0)).toEqual([]);
      expect((await claim(9, { perWebhook: 1 })).map(({ createdAt }) => createdAt)).toEqual([at(1), at(1)]);
      const next = await claim(9, { except: [two.id], limit: 1 });
      expect(next).toMatchObject([{ webhookId: one.id, createdAt: at(2) }]);
      const together = await Promise.all([claim(9), claim(9), claim(9)]);
      expect(together.flat()).toHaveLength(3);
      expect(await claim(9)).toEqual([]);
      expect(await claim(38)).toEqual([]);
      const again = await claim(39);
      expect(again.map(({ attempts }) => attempts)).toEqual([2, 2, 2, 2, 2, 2]);
      await run(({ webhooks }) => webhooks.change(crew.id, one.id, { enabled: false }));
      expect(new Set((await claim(80)).map(({ webhookId }) => webhookId))).toEqual(new Set([two.id]));
    });

    it('have deliveries settled by the last try only, listed by state, replayed and forgotten', async () => {
      const { id } = await add();
      await announce(1);
      await announce(2);
      const [first, second] = await claim(5);
      const settle = (delivery = first, attempts = 1, patch = over) =>
        run(({ webhooks }) => webhooks.settle(delivery?.id ?? '', attempts, patch));
      expect(await settle(first, 2)).toBe(false);
      expect(await settle()).toBe(true);
      expect(await settle()).toBe(false);
      const later = {
        ...over,
        state: 'pending',
        nextAttemptAt: at(60),
        finishedAt: null,
        lastError: 'a\0b',
      } as const;
      expect(await settle(second, 1, later)).toBe(true);
      const list = async (state?: 'pending' | 'delivered') =>
        (await run(({ webhooks }) => webhooks.deliveries(crew.id, id, { state, limit: 9 }))).data;
      expect((await list()).map((one) => one.id)).toEqual([second?.id, first?.id]);
      expect(await list('pending')).toMatchObject([{ lastError: 'a\ufffdb', nextAttemptAt: at(60) }]);
      expect(await list('delivered')).toEqual([
        { id: first?.id, type: 'job.queued', attempts: 1, createdAt: at(1), ...over },
      ]);

      const replay = (deliveryId = first?.id ?? '', webhookId = id) =>
        run(({ webhooks }) => webhooks.replay(crew.id, webhookId, deliveryId, at(70)));
      expect(await replay('none')).toBeNull();
      expect(await replay(first?.id, randomIds.make('webhook'))).toBeNull();
      expect(await replay()).toMatchObject({ state: 'pending', attempts: 0, nextAttemptAt: at(70) });
      expect((await claim(70)).map((one) => one.id)).toEqual([first?.id, second?.id]);
      await settle(first);

      const purge = (second_: number) => run(({ webhooks }) => webhooks.purge(at(second_), 9));
      expect(await purge(50)).toBe(0);
      expect(await purge(51)).toBe(1);
      expect((await list()).map((one) => one.id)).toEqual([second?.id]);
    });
  });
}

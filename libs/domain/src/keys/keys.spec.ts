import { type CreateApiKey, type Principal, type Role } from '@lowrank/contracts';
import { team, World } from '../test/world';
import { authenticate } from './authenticate';
import { createApiKey } from './create-api-key';
import { revokeApiKey } from './revoke-api-key';
import { makeApiKeySecret } from './secret';

describe('API keys', () => {
  let world: World;
  beforeEach(() => (world = new World()));
  const make = (role: Role, more: Partial<CreateApiKey> = {}) =>
    createApiKey(world, team, { name: role, role, ...more });
  const ask = (secret: string, now = world.clock.now()) => authenticate(world.unitOfWork, secret, now);
  const principal = async (role: Role, more: Partial<CreateApiKey> = {}): Promise<Principal> => {
    const found = await ask((await make(role, more)).secret);
    if (found === null) throw new Error('the key is not known');
    return found;
  };

  it('say on whose behalf they speak until they are revoked', async () => {
    const owner = await principal('owner');
    const { secret, id } = await make('member', { scopes: ['jobs:write'] });
    expect(await ask(secret)).toEqual({
      teamId: team,
      role: 'member',
      scopes: ['jobs:write'],
      operator: true,
      memberId: null,
      actor: { type: 'key', id, name: 'member' },
      expiresAt: null,
    });
    await revokeApiKey(world, owner, id);
    await revokeApiKey(world, owner, id);
    expect(await ask(secret)).toBeNull();
  });

  it('are refused from the instant of their expiry on, by its own code', async () => {
    const expiresAt = new Date(Date.parse(world.clock.now()) + 1000).toISOString();
    const { secret } = await make('member', { expiresAt });
    expect(await ask(secret)).toMatchObject({ expiresAt });
    await expect(ask(secret, expiresAt)).rejects.toMatchObject({ code: 'key_expired', status: 401 });
  });

  it('are not made expired', () =>
    expect(make('member', { expiresAt: world.clock.now() })).rejects.toMatchObject({
      code: 'validation_failed',
      details: [{ path: 'expiresAt' }],
    }));

  it('are never stored', async () => {
    const { secret } = await make('member');
    expect(JSON.stringify(world.tables)).not.toContain(secret);
    expect(JSON.stringify(world.tables)).not.toContain(secret.slice(10, 40));
  });

  it('that nobody made do not authenticate', async () => {
    expect(await ask(makeApiKeySecret())).toBeNull();
    expect(await ask('lrk_nonsense')).toBeNull();
  });

  it('give no more than their maker has', async () => {
    const admin = await principal('admin');
    const give = (role: Role) => createApiKey(world, team, { name: 'given', role }, admin);
    await expect(give('owner')).rejects.toMatchObject({ code: 'forbidden' });
    expect(await give('admin')).toMatchObject({ role: 'admin' });
  });

  it('cannot all be taken from a team', async () => {
    const first = await make('admin');
    const caller = (await ask(first.secret)) as Principal;
    await make('admin', { scopes: ['jobs:write'] });
    await make('admin', { expiresAt: '2100-01-01T00:00:00.000Z' });
    await expect(revokeApiKey(world, caller, first.id)).rejects.toMatchObject({ code: 'conflict' });
    await make('admin');
    await revokeApiKey(world, caller, first.id);
    await expect(revokeApiKey(world, caller, 'key_none')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('of an owner are not an admin’s to revoke, and the last of them stays', async () => {
    const owner = await principal('owner');
    const admin = await principal('admin');
    await expect(revokeApiKey(world, admin, owner.actor.id)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(revokeApiKey(world, owner, owner.actor.id)).rejects.toMatchObject({ code: 'conflict' });
  });
});

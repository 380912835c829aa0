import { team, World } from '../test/world';
import { authenticate } from './authenticate';
import { createApiKey } from './create-api-key';
import { revokeApiKey } from './revoke-api-key';
import { makeApiKeySecret } from './secret';

describe('API keys', () => {
  const world = new World();
  const make = (role: 'admin' | 'member') => createApiKey(world, team, { name: role, role });

  it('authenticate until they are revoked', async () => {
    const { secret, id } = await make('member');
    expect(await authenticate(world.unitOfWork, secret)).toMatchObject({ id, role: 'member' });
    await revokeApiKey(world, team, id);
    await revokeApiKey(world, team, id);
    expect(await authenticate(world.unitOfWork, secret)).toBeNull();
  });

  it('are never stored', async () => {
    const { secret } = await make('member');
    expect(JSON.stringify(world.tables)).not.toContain(secret);
    expect(JSON.stringify(world.tables)).not.toContain(secret.slice(10, 40));
  });

  it('that nobody made do not authenticate', async () => {
    expect(await authenticate(world.unitOfWork, makeApiKeySecret())).toBeNull();
    expect(await authenticate(world.unitOfWork, 'lrk_nonsense')).toBeNull();
  });

  it('cannot all be taken from a team', async () => {
    const first = await make('admin');
    await expect(revokeApiKey(world, team, first.id)).rejects.toMatchObject({ code: 'conflict' });
    await make('admin');
    await revokeApiKey(world, team, first.id);
    await expect(revokeApiKey(world, team, 'key_none')).rejects.toMatchObject({ code: 'not_found' });
  });
});

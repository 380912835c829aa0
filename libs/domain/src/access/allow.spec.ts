import {
  type Action,
  actions,
  isChange,
  isOpen,
  type Principal,
  type Role,
  roleSchema,
  type Scope,
} from '@lowrank/contracts';
import { assertAllowed, assertMayGive, includesScope, isAtLeast } from './allow';

const principal = (role: Role, scopes: Scope[] | null = null, operator = true): Principal => ({
  ...{ teamId: 'team_a', role, scopes, operator, memberId: null, expiresAt: null },
  actor: { type: 'key', id: 'key_a', name: 'a' },
});
const all = (Object.keys(actions) as Action[]).filter((action) => !isOpen(action));
const allowed = (who: Principal) =>
  all.filter((action) => {
    try {
      assertAllowed(who, action);
      return true;
    } catch {
      return false;
    }
  });

describe('roles', () => {
  it('may each do more than the one before, and the owner everything', () => {
    const counts = roleSchema.options.map((role) => allowed(principal(role)));
    for (const [index, mine] of counts.entries())
      expect(mine).toEqual(expect.arrayContaining(counts[index - 1] ?? []));
    expect(counts.at(-1)).toEqual(all);
    expect(counts.map((mine) => mine.length)).toEqual(
      [...counts.map((mine) => mine.length)].sort((a, b) => a - b),
    );
  });

  it('let viewers change nothing but what is their own', () => {
    const changing = allowed(principal('viewer')).filter(isChange);
    expect(changing).toEqual(['own-keys.write', 'own-sessions.end', 'team.leave', 'password.change']);
  });

  it('are at least themselves and those below', () => {
    expect(isAtLeast('admin', 'admin')).toBe(true);
    expect(isAtLeast('owner', 'viewer')).toBe(true);
    expect(isAtLeast('member', 'admin')).toBe(false);
  });

  it('are named when they are missing', () =>
    expect(() => assertAllowed(principal('member'), 'keys.write')).toThrow(
      'keys.write needs the role admin; yours is member.',
    ));
});

describe('scopes', () => {
  it('narrow a role, and write includes read', () => {
    expect(allowed(principal('owner', ['jobs:write']))).toEqual(
      all.filter((action) => /^(me|own-sessions|password|session|jobs|sweeps|overview)\./.test(action)),
    );
    expect(allowed(principal('owner', ['jobs:read']))).not.toContain('jobs.submit');
    expect(includesScope(['jobs:read'], 'jobs:write')).toBe(false);
  });

  it('widen no role', () =>
    expect(allowed(principal('viewer', ['keys:write']))).toEqual([
      ...['me.read', 'own-keys.read', 'own-keys.write', 'own-sessions.read', 'own-sessions.end'],
      ...['password.change', 'session.use'],
    ]));

  it('are named when they are missing', () =>
    expect(() => assertAllowed(principal('admin', ['jobs:read']), 'jobs.submit')).toThrow(
      'jobs.submit needs the scope jobs:write; yours are jobs:read.',
    ));
});

it('keeps what concerns all teams to the operator', () => {
  const refused = all.filter((action) => !allowed(principal('owner', null, false)).includes(action));
  expect(refused).toEqual([
    'team.quotas',
    'teams.read',
    'teams.write',
    'accounts-audit.read',
    'workers.read',
    'workers.drain',
    'platform.read',
    'metrics.read',
  ]);
});

describe('giving', () => {
  const admin = principal('admin');
  const limited = principal('admin', ['keys:write', 'jobs:write']);

  it.each<[string, Principal, Role, Scope[] | null]>([
    ['a higher role', admin, 'owner', null],
    ['all scopes without having them', limited, 'member', null],
    ['a scope without having it', limited, 'member', ['jobs:read', 'datasets:read']],
  ])('%s is refused', (_title, giver, role, scopes) =>
    expect(() => assertMayGive(giver, { role, scopes })).toThrow(
      expect.objectContaining({ code: 'forbidden' }),
    ),
  );

  it('what one has is allowed', () => {
    assertMayGive(admin, { role: 'admin', scopes: null });
    assertMayGive(limited, { role: 'viewer', scopes: ['jobs:read'] });
  });
});

import { type Role, type Scope } from './access';

/** What an action needs. */
export interface Access {
  /** The least role that may do it. */
  role: Role;
  /** What a key of limited scopes needs; null: nothing. */
  scope: Scope | null;
  /** It concerns all teams, so it is for the operator's team alone. */
  platform?: true;
  /** It needs neither key nor session: who asks shows what they know in the body. */
  open?: true;
}

/** Everything that can be done over HTTP, and who may: the one table. Each route names its action, several may share one. */
export const actions = {
  'me.read': { role: 'viewer', scope: null },
  'session.begin': { role: 'viewer', scope: null, open: true },
  'own-keys.read': { role: 'viewer', scope: 'keys:read' },
  'own-keys.write': { role: 'viewer', scope: 'keys:write' },
  'own-sessions.read': { role: 'viewer', scope: null },
  'own-sessions.end': { role: 'viewer', scope: null },
  'team.leave': { role: 'viewer', scope: 'team:write' },
  'password.change': { role: 'viewer', scope: null },
  'password.reset': { role: 'viewer', scope: null, open: true },
  'session.use': { role: 'viewer', scope: null },
  'base-models.read': { role: 'viewer', scope: 'base-models:read' },
  'base-models.import': { role: 'member', scope: 'base-models:write' },
  'datasets.read': { role: 'viewer', scope: 'datasets:read' },
  'datasets.upload': { role: 'member', scope: 'datasets:write' },
  'datasets.send': { role: 'member', scope: 'datasets:write' },
  'datasets.delete': { role: 'member', scope: 'datasets:write' },
  'jobs.read': { role: 'viewer', scope: 'jobs:read' },
  'jobs.estimate': { role: 'viewer', scope: 'jobs:read' },
  'jobs.submit': { role: 'member', scope: 'jobs:write' },
  'jobs.control': { role: 'member', scope: 'jobs:write' },
  'sweeps.read': { role: 'viewer', scope: 'jobs:read' },
  'sweeps.submit': { role: 'member', scope: 'jobs:write' },
  'sweeps.control': { role: 'member', scope: 'jobs:write' },
  'adapters.read': { role: 'viewer', scope: 'adapters:read' },
  'adapters.write': { role: 'member', scope: 'adapters:write' },
  'adapters.prefetch': { role: 'member', scope: 'adapters:write' },
  'pins.write': { role: 'admin', scope: 'adapters:write' },
  'gates.write': { role: 'admin', scope: 'adapters:write' },
  'grants.write': { role: 'admin', scope: 'adapters:write' },
  'completions.generate': { role: 'viewer', scope: 'adapters:read' },
  'overview.read': { role: 'viewer', scope: 'jobs:read' },
  'usage.read': { role: 'viewer', scope: 'team:read' },
  'team.read': { role: 'viewer', scope: 'team:read' },
  'team.quotas': { role: 'admin', scope: 'team:write', platform: true },
  'teams.read': { role: 'admin', scope: 'platform:read', platform: true },
  'teams.write': { role: 'admin', scope: 'platform:write', platform: true },
  'keys.read': { role: 'admin', scope: 'keys:read' },
  'keys.write': { role: 'admin', scope: 'keys:write' },
  'members.read': { role: 'viewer', scope: 'team:read' },
  'members.write': { role: 'admin', scope: 'team:write' },
  'invitations.read': { role: 'admin', scope: 'team:read' },
  'invitations.accept': { role: 'viewer', scope: null, open: true },
  'webhooks.read': { role: 'admin', scope: 'webhooks:read' },
  'webhooks.write': { role: 'admin', scope: 'webhooks:write' },
  'audit.read': { role: 'admin', scope: 'audit:read' },
  'accounts-audit.read': { role: 'admin', scope: 'audit:read', platform: true },
  'workers.read': { role: 'admin', scope: 'platform:read', platform: true },
  'workers.drain': { role: 'admin', scope: 'platform:write', platform: true },
  'platform.read': { role: 'admin', scope: 'platform:read', platform: true },
  'metrics.read': { role: 'admin', scope: 'platform:read', platform: true },
} as const satisfies Record<string, Access>;
export type Action = keyof typeof actions;

/** Whether an action needs neither key nor session. */
export const isOpen = (action: Action): boolean => (actions[action] as Access).open === true;

/** Whether an action changes something of a team, so that each time it is done the audit log has a row of it. The others are named for what they do. */
export const isChange = (action: Action): boolean =>
  !/^session\.|\.(read|estimate|generate|send)$/.test(action);

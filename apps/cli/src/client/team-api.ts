import {
  type ApiKey,
  apiKeySchema,
  type AuditEntry,
  auditEntrySchema,
  type AuditQuery,
  type ChangeTeam,
  type CreateApiKey,
  createdApiKeySchema,
  type CreatedPasswordReset,
  createdPasswordResetSchema,
  type CreatedTeam,
  createdInvitationSchema,
  createdTeamSchema,
  type CreateOwnKey,
  type CreateTeam,
  type UsePasswordReset,
  type Grant,
  grantSchema,
  type Invitation,
  invitationSchema,
  type Member,
  memberSchema,
  pageSchema,
  type Role,
  type Team,
  teamSchema,
  type UsageReport,
  usageReportSchema,
} from '@lowrank/contracts';
import { z } from 'zod';
import { type Http } from './http';

const part = encodeURIComponent;

/** The part of the native API that is about teams, who is in them, and with what. Errors as in Http. */
export class TeamApi {
  constructor(private readonly http: Http) {}

  keys(): Promise<ApiKey[]> {
    return this.list('keys', apiKeySchema);
  }

  makeKey(json: CreateApiKey): Promise<ApiKey & { secret: string }> {
    return this.http.json('/api/v1/keys', createdApiKeySchema, { method: 'POST', json });
  }

  revokeKey(id: string): Promise<void> {
    return this.remove('keys', id);
  }

  ownKeys(): Promise<ApiKey[]> {
    return this.list('me/keys', apiKeySchema);
  }

  makeOwnKey(json: CreateOwnKey): Promise<ApiKey & { secret: string }> {
    return this.http.json('/api/v1/me/keys', createdApiKeySchema, { method: 'POST', json });
  }

  revokeOwnKey(id: string): Promise<void> {
    return this.remove('me/keys', id);
  }

  async leave(): Promise<void> {
    await (await this.http.response('/api/v1/me/leave', { method: 'POST' })).arrayBuffer();
  }

  resetPassword(id: string): Promise<CreatedPasswordReset> {
    const path = `/api/v1/members/${part(id)}/password-reset`;
    return this.http.json(path, createdPasswordResetSchema, { method: 'POST' });
  }

  async choosePassword(json: UsePasswordReset): Promise<void> {
    const path = '/api/v1/password-resets/use';
    await (await this.http.response(path, { method: 'POST', json })).arrayBuffer();
  }

  members(): Promise<Member[]> {
    return this.list('members', memberSchema);
  }

  changeRole(id: string, role: Role): Promise<Member> {
    const path = `/api/v1/members/${part(id)}`;
    return this.http.json(path, memberSchema, { method: 'PATCH', json: { role } });
  }

  removeMember(id: string): Promise<void> {
    return this.remove('members', id);
  }

  makeServiceAccount(json: { name: string; role: Role }): Promise<Member> {
    return this.http.json('/api/v1/service-accounts', memberSchema, { method: 'POST', json });
  }

  invitations(): Promise<Invitation[]> {
    return this.list('invitations', invitationSchema);
  }

  invite(json: {
    email: string;
    role: Role;
    expiresInHours: number;
  }): Promise<Invitation & { token: string }> {
    return this.http.json('/api/v1/invitations', createdInvitationSchema, { method: 'POST', json });
  }

  revokeInvitation(id: string): Promise<void> {
    return this.remove('invitations', id);
  }

  acceptInvitation(json: { token: string; name?: string; password: string }): Promise<Member> {
    return this.http.json('/api/v1/invitations/accept', memberSchema, { method: 'POST', json });
  }

  async audit(query: Partial<AuditQuery>): Promise<AuditEntry[]> {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]));
    return (await this.http.json(`/api/v1/audit?${search}`, pageSchema(auditEntrySchema))).data;
  }

  /** Of the own team, or of all. */
  usage({
    all,
    ...query
  }: {
    all: boolean;
    since?: string;
    until?: string;
    by: string;
  }): Promise<UsageReport> {
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = new URLSearchParams(given as [string, string][]);
    return this.http.json(`/api/v1/usage${all ? '/teams' : ''}?${search}`, usageReportSchema);
  }

  teams(): Promise<Team[]> {
    return this.list('teams', teamSchema);
  }

  makeTeam(json: CreateTeam): Promise<CreatedTeam> {
    return this.http.json('/api/v1/teams', createdTeamSchema, { method: 'POST', json });
  }

  changeTeam(id: string, json: ChangeTeam): Promise<Team> {
    return this.http.json(`/api/v1/teams/${part(id)}`, teamSchema, { method: 'PATCH', json });
  }

  grants(): Promise<Grant[]> {
    return this.list('grants', grantSchema);
  }

  grant(json: { adapter: string; to: string; alias: string | null }): Promise<Grant> {
    return this.http.json('/api/v1/grants', grantSchema, { method: 'POST', json });
  }

  revokeGrant(id: string): Promise<void> {
    return this.remove('grants', id);
  }

  private async list<T extends z.ZodType>(what: string, item: T): Promise<z.output<T>[]> {
    return (await this.http.json(`/api/v1/${what}`, z.object({ data: z.array(item) }))).data;
  }

  private async remove(what: string, id: string): Promise<void> {
    await (await this.http.response(`/api/v1/${what}/${part(id)}`, { method: 'DELETE' })).arrayBuffer();
  }
}

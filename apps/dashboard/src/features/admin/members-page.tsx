import { Button, Group, NativeSelect, Stack, TextInput } from '@mantine/core';
import { type CreatedPasswordReset, type Invitation, type Member } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { ConfirmButton } from '../../components/confirm-button';
import { DataTable } from '../../components/data-table';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { EmptyState, ErrorState, QueryState } from '../../components/states';
import { TagBadge } from '../../components/tag-badge';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { notify, notifyError } from '../../lib/notify';
import { apiQuery, invalidate } from '../../lib/query';
import { useMay, useSession } from '../../lib/session';
import { RoleSelect } from '../../components/role-select';
import { rolesUpTo } from '../../lib/roles';
import { SecretOnce } from '../../components/secret-once';
import { fieldOf, useFormAction } from '../../lib/use-form-action';

/** Who is in the team, invitations, and service accounts. */
export function MembersPage() {
  const may = useMay();
  return (
    <>
      <PageHeader title="Members" description="Who is in your team, and what they may do." />
      <Stack gap="md">
        <MemberList />
        {may('members.write') && <Invite />}
        {may('invitations.read') && <Invitations />}
        {may('members.write') && <NewServiceAccount />}
      </Stack>
    </>
  );
}

function MemberList() {
  const members = useQuery(apiQuery<{ data: Member[] }>('/api/v1/members'));
  const { principal } = useSession();
  const mayWrite = useMay()('members.write');
  const [reset, setReset] = useState<{ name: string; token: string } | null>(null);
  const change = async (member: Member, role: string) => {
    try {
      await api.patch(`/api/v1/members/${member.id}`, { role });
      notify(`${member.name} is ${role} now.`);
    } catch (error) {
      notifyError(error);
    }
    await invalidate('/api/v1/members');
  };
  return (
    <Section title="Members">
      <QueryState query={members}>
        {({ data }) =>
          data.length === 0 ? (
            <EmptyState icon="users" title="Nobody yet">
              The team is used by API keys alone. Invite the people in it.
            </EmptyState>
          ) : (
            <DataTable
              label="Members"
              rows={data}
              rowKey={({ id }) => id}
              columns={[
                {
                  key: 'name',
                  header: 'Name',
                  cell: ({ name, isService }) => (
                    <Group gap={6}>
                      {name}
                      {isService && <TagBadge>service account</TagBadge>}
                    </Group>
                  ),
                },
                { key: 'email', header: 'Email', cell: ({ email }) => email ?? '–', from: 'sm' },
                {
                  key: 'role',
                  header: 'Role',
                  cell: (member) =>
                    mayWrite ? (
                      <NativeSelect
                        size="xs"
                        aria-label={`Role of ${member.name}`}
                        value={member.role}
                        data={[...new Set([...rolesUpTo(principal.role), member.role])]}
                        onChange={({ currentTarget: { value } }) => void change(member, value)}
                      />
                    ) : (
                      member.role
                    ),
                },
                {
                  key: 'since',
                  header: 'Since',
                  cell: ({ createdAt }) => <Ago time={createdAt} />,
                  from: 'md',
                },
                ...(mayWrite
                  ? [
                      {
                        key: 'actions',
                        header: 'Actions',
                        cell: ({ id, name, isService }: Member) => (
                          <Group gap={6} wrap="nowrap">
                            {!isService && (
                              <ConfirmButton
                                aria-label={`Reset password of ${name}`}
                                title={`Has ${name} forgotten their password?`}
                                explanation="You get a link for them, good for a day and for one use. Until they use it, their password stays."
                                confirm="Make the link"
                                act={async () => {
                                  const path = `/api/v1/members/${id}/password-reset`;
                                  setReset({ name, ...(await api.post<CreatedPasswordReset>(path)) });
                                }}
                              >
                                Reset password
                              </ConfirmButton>
                            )}
                            <ConfirmButton
                              aria-label={`Remove ${name}`}
                              title={`Remove ${name} from the team?`}
                              explanation="Their sessions and keys in this team stop working at once."
                              confirm="Remove"
                              act={async () => {
                                await api.delete(`/api/v1/members/${id}`);
                                notify(`${name} is removed.`);
                                await invalidate('/api/v1/members', '/api/v1/keys');
                              }}
                            >
                              Remove
                            </ConfirmButton>
                          </Group>
                        ),
                      },
                    ]
                  : []),
              ]}
            />
          )
        }
      </QueryState>
      {reset !== null && (
        <SecretOnce
          title={`Another password for ${reset.name}`}
          secret={`${location.origin}/reset-password#${reset.token}`}
          label="the link of the reset"
        />
      )}
    </Section>
  );
}

function Invite() {
  const { principal } = useSession();
  const [made, setMade] = useState<(Invitation & { token: string }) | null>(null);
  const { isBusy, error, onSubmit } = useFormAction(async (form) => {
    const body = { email: fieldOf(form, 'email'), role: fieldOf(form, 'role') };
    setMade(await api.post('/api/v1/invitations', body));
    await invalidate('/api/v1/invitations');
  });
  return (
    <Section title="Invite somebody">
      <form onSubmit={(event) => void onSubmit(event)}>
        <Stack>
          <Group align="end" gap="sm">
            <TextInput
              name="email"
              type="email"
              label="Email"
              required
              style={{ flex: '1 1 220px' }}
              maw={360}
            />
            <RoleSelect highest={principal.role} />
            <Button type="submit" loading={isBusy}>
              Invite
            </Button>
          </Group>
          {error !== null && <ErrorState error={error} />}
          {made !== null && (
            <SecretOnce
              title={`Invitation of ${made.email}`}
              secret={`${location.origin}/join#${made.token}`}
              label="the link of the invitation"
            />
          )}
        </Stack>
      </form>
    </Section>
  );
}

function Invitations() {
  const invitations = useQuery(apiQuery<{ data: Invitation[] }>('/api/v1/invitations'));
  const mayWrite = useMay()('members.write');
  return (
    <Section title="Open invitations">
      <QueryState query={invitations}>
        {({ data }) => {
          const open = data.filter(({ acceptedAt }) => acceptedAt === null);
          return open.length === 0 ? (
            <EmptyState icon="users" title="No open invitations" />
          ) : (
            <DataTable
              label="Open invitations"
              rows={open}
              rowKey={({ id }) => id}
              columns={[
                { key: 'email', header: 'Email', cell: ({ email }) => email },
                { key: 'role', header: 'Role', cell: ({ role }) => role },
                {
                  key: 'expires',
                  header: 'Good until',
                  cell: ({ expiresAt }) => <Ago time={expiresAt} />,
                  from: 'xs',
                },
                ...(mayWrite
                  ? [
                      {
                        key: 'withdraw',
                        header: 'Withdraw',
                        cell: ({ id, email }: Invitation) => (
                          <ConfirmButton
                            aria-label={`Withdraw the invitation of ${email}`}
                            title="Withdraw it?"
                            explanation={`The token that ${email} has opens nothing any more.`}
                            confirm="Withdraw"
                            act={async () => {
                              await api.delete(`/api/v1/invitations/${id}`);
                              await invalidate('/api/v1/invitations');
                            }}
                          >
                            Withdraw
                          </ConfirmButton>
                        ),
                      },
                    ]
                  : []),
              ]}
            />
          );
        }}
      </QueryState>
    </Section>
  );
}

function NewServiceAccount() {
  const { principal } = useSession();
  const { isBusy, error, onSubmit } = useFormAction(async (form) => {
    const body = { name: fieldOf(form, 'name'), role: fieldOf(form, 'role') };
    await api.post('/api/v1/service-accounts', body);
    notify(`${body.name} is made. Make a key for it on the page of keys.`);
    await invalidate('/api/v1/members');
  });
  return (
    <Section title="New service account">
      <form onSubmit={(event) => void onSubmit(event)}>
        <Stack>
          <Group align="end" gap="sm">
            <TextInput
              name="name"
              label="Name"
              description="A program that has keys and does not sign in."
              required
              maxLength={100}
              style={{ flex: '1 1 220px' }}
              maw={360}
            />
            <RoleSelect highest={principal.role} />
            <Button type="submit" loading={isBusy}>
              Make it
            </Button>
          </Group>
          {error !== null && <ErrorState error={error} />}
        </Stack>
      </form>
    </Section>
  );
}

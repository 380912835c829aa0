import { Button, Group, Progress, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import {
  type CreatedTeam,
  type PlatformOverview,
  type Quotas,
  type Team,
  type TeamUse,
} from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { DataTable } from '../../components/data-table';
import { Dialog } from '../../components/dialog';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { ErrorState, QueryState } from '../../components/states';
import { api } from '../../lib/api';
import { formatCompact, formatCount, formatDuration } from '../../lib/format';
import { notify } from '../../lib/notify';
import { apiQuery, invalidate } from '../../lib/query';
import { useMay } from '../../lib/session';
import { SecretOnce } from '../../components/secret-once';
import { fieldOf, useFormAction } from '../../lib/use-form-action';

const teamsPath = '/api/v1/teams';
const usePath = '/api/v1/platform/overview';

/** All teams with their quotas and what they use; for the operator. */
export function TeamsPage() {
  const teams = useQuery(apiQuery<{ data: Team[] }>(teamsPath));
  const overview = useQuery({ ...apiQuery<PlatformOverview>(usePath), refetchInterval: 10_000 });
  const mayWrite = useMay()('teams.write');
  const [edited, setEdited] = useState<Team | null>(null);
  const takenBy = (id: string) => overview.data?.teams.find(({ team }) => team.id === id);
  return (
    <>
      <PageHeader title="Teams" description="Shares of the machines, quotas, and what was used this month." />
      <Stack gap="md">
        <Section title="Teams">
          <QueryState query={teams}>
            {({ data }) => (
              <DataTable
                label="Teams"
                rows={data}
                rowKey={({ id }) => id}
                columns={[
                  { key: 'name', header: 'Team', cell: ({ name }) => name },
                  {
                    key: 'weight',
                    header: 'Weight',
                    align: 'right',
                    cell: ({ weight }) => weight,
                    from: 'sm',
                  },
                  {
                    key: 'seconds',
                    header: 'Device time',
                    width: 110,
                    cell: (team) => (
                      <Used
                        {...{ used: team.deviceSecondsUsed, most: team.deviceSecondsPerMonth }}
                        format={formatDuration}
                        label={`Device time of ${team.name}`}
                      />
                    ),
                  },
                  {
                    key: 'answered',
                    header: 'Tokens of completions',
                    width: 150,
                    from: 'xs',
                    cell: (team) => (
                      <Used
                        {...{ used: team.tokensUsed, most: team.tokensPerMonth }}
                        format={formatCompact}
                        label={`Tokens of completions of ${team.name}`}
                      />
                    ),
                  },
                  {
                    key: 'trained',
                    header: 'Trained on',
                    align: 'right',
                    from: 'sm',
                    cell: ({ id }) => formatCompact(takenBy(id)?.trainedTokens ?? 0),
                  },
                  {
                    key: 'running',
                    header: 'Running',
                    align: 'right',
                    from: 'xs',
                    cell: ({ id, maxRunning }) => ofMost(takenBy(id)?.running, maxRunning),
                  },
                  {
                    key: 'queued',
                    header: 'Waiting',
                    align: 'right',
                    from: 'xs',
                    cell: ({ id, maxQueued }) => ofMost(takenBy(id)?.queued, maxQueued),
                  },
                  ...(mayWrite
                    ? [
                        {
                          key: 'change',
                          header: 'Change',
                          cell: (team: Team) => (
                            <Button
                              size="xs"
                              variant="default"
                              aria-label={`Quotas of ${team.name}`}
                              onClick={() => setEdited(team)}
                            >
                              Quotas
                            </Button>
                          ),
                        },
                      ]
                    : []),
                ]}
              />
            )}
          </QueryState>
        </Section>
        {mayWrite && <NewTeam />}
      </Stack>
      <Dialog isOpen={edited !== null} close={() => setEdited(null)} title={`Quotas of ${edited?.name}`}>
        {edited !== null && <QuotaForm team={edited} close={() => setEdited(null)} />}
      </Dialog>
    </>
  );
}

const ofMost = (value: TeamUse['running'] | undefined, most: number | null): string =>
  most === null ? formatCount(value ?? 0) : `${formatCount(value ?? 0)} of ${formatCount(most)}`;

interface UsedProps {
  used: number;
  /** null: no limit. */
  most: number | null;
  format: (value: number) => string;
  label: string;
}

function Used({ used, most, format, label }: UsedProps) {
  return (
    <>
      <Text size="sm" className="numbers">
        {format(used)}
        {most !== null && ` of ${format(most)}`}
      </Text>
      {most !== null && (
        <Progress
          value={most === 0 ? 100 : Math.min(100, (100 * used) / most)}
          color={used >= most ? 'red' : 'blue'}
          size="sm"
          aria-label={label}
        />
      )}
    </>
  );
}

/** A whole number in a form; empty: no limit. */
const limitOf = (form: FormData, name: string): number | null => {
  const text = fieldOf(form, name).replaceAll(',', '');
  return text === '' ? null : Number(text);
};

function quotasOf(form: FormData): Quotas {
  const hours = limitOf(form, 'deviceHours');
  return {
    weight: limitOf(form, 'weight') ?? 1,
    maxRunning: limitOf(form, 'maxRunning'),
    maxQueued: limitOf(form, 'maxQueued'),
    deviceSecondsPerMonth: hours === null ? null : Math.round(hours * 3600),
    tokensPerMonth: limitOf(form, 'tokensPerMonth'),
  };
}

function QuotaFields({ quotas }: { quotas: Partial<Quotas> }) {
  const seconds = quotas.deviceSecondsPerMonth;
  return (
    <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
      <TextInput
        type="number"
        step="any"
        name="weight"
        label="Weight"
        description="Share of the machines when all have jobs waiting"
        min={0.001}
        max={1000}
        defaultValue={quotas.weight ?? 1}
      />
      <TextInput
        type="number"
        step="any"
        name="deviceHours"
        label="Device hours a month"
        description="Empty: no limit"
        min={0}
        defaultValue={seconds === null || seconds === undefined ? '' : seconds / 3600}
      />
      <TextInput
        type="number"
        step="any"
        name="maxRunning"
        label="Jobs running at a time"
        description="Empty: no limit"
        min={0}
        defaultValue={quotas.maxRunning ?? ''}
      />
      <TextInput
        type="number"
        step="any"
        name="maxQueued"
        label="Jobs waiting at a time"
        description="Empty: no limit"
        min={0}
        defaultValue={quotas.maxQueued ?? ''}
      />
      <TextInput
        type="number"
        name="tokensPerMonth"
        label="Tokens a month, of prompts and answers"
        description="Empty: no limit"
        min={0}
        defaultValue={quotas.tokensPerMonth ?? ''}
      />
    </SimpleGrid>
  );
}

function QuotaForm({ team, close }: { team: Team; close: () => void }) {
  const { isBusy, error, onSubmit } = useFormAction(async (form) => {
    await api.patch(`${teamsPath}/${team.id}`, quotasOf(form));
    notify(`Quotas of ${team.name} are changed.`);
    await invalidate(teamsPath, usePath, '/api/v1/team', '/api/v1/overview');
    close();
  });
  return (
    <form onSubmit={(event) => void onSubmit(event)}>
      <Stack>
        <QuotaFields quotas={team} />
        {error !== null && <ErrorState error={error} />}
        <Group justify="flex-end">
          <Button type="submit" loading={isBusy}>
            Save
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function NewTeam() {
  const [made, setMade] = useState<CreatedTeam | null>(null);
  const { isBusy, error, onSubmit } = useFormAction(async (form) => {
    const body = { name: fieldOf(form, 'name'), owner: fieldOf(form, 'owner'), ...quotasOf(form) };
    setMade(await api.post(teamsPath, body));
    await invalidate(teamsPath, usePath);
  });
  return (
    <Section title="New team">
      <form onSubmit={(event) => void onSubmit(event)}>
        <Stack>
          <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
            <TextInput
              name="name"
              label="Name"
              description="Part of its adapters' paths"
              placeholder="research"
              required
            />
            <TextInput
              name="owner"
              type="email"
              label="First owner"
              description="Their address, which is invited"
              required
            />
          </SimpleGrid>
          <QuotaFields quotas={{}} />
          {error !== null && <ErrorState error={error} />}
          {made !== null && (
            <SecretOnce
              title={`Invitation of ${made.invitation.email}, the first owner of ${made.name}`}
              secret={`${location.origin}/join#${made.invitation.token}`}
              label="the link of the invitation"
            />
          )}
          <Group justify="flex-end">
            <Button type="submit" loading={isBusy}>
              Make the team
            </Button>
          </Group>
        </Stack>
      </form>
    </Section>
  );
}

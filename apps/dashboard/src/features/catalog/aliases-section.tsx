import { Button, Group } from '@mantine/core';
import { type Alias, type AliasMove, type NamedAliasMove } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { ConfirmButton } from '../../components/confirm-button';
import { DataTable } from '../../components/data-table';
import { Dialog } from '../../components/dialog';
import { PromoteButton } from '../../components/promote/promote-button';
import { Section } from '../../components/section';
import { EmptyState, QueryState } from '../../components/states';
import { TagBadge } from '../../components/tag-badge';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { notify } from '../../lib/notify';
import { apiQuery, invalidate, type Page } from '../../lib/query';
import { useMay } from '../../lib/session';
import { type AdapterProps } from './adapter-page';

/** Names that move from version to version: what stands where, moving one, taking the last move back. */
export function AliasesSection({ adapter, aliases, version, path }: AdapterProps) {
  const may = useMay();
  const [history, setHistory] = useState<string | null>(null);
  const isOwn = adapter.sharedBy === null && may('adapters.write');
  const at = (alias: string) => `${path}/aliases/${alias}`;
  return (
    <Section
      title="Aliases"
      aside={isOwn && <PromoteButton adapter={adapter.name} what={`v${version.number}`} />}
    >
      {aliases.length === 0 ? (
        <EmptyState icon="tag" title="No aliases">
          An alias such as <code>prod</code> is a name for a version that can be moved to another. Whoever
          asks for <code>{adapter.name}@prod</code> gets what it stands on.
        </EmptyState>
      ) : (
        <DataTable
          label="Aliases"
          rows={aliases}
          rowKey={({ name }) => name}
          columns={[
            { key: 'name', header: 'Alias', cell: ({ name }) => <TagBadge color="blue">{name}</TagBadge> },
            { key: 'version', header: 'Stands on', cell: (one) => `v${one.version}` },
            { key: 'moved', header: 'Moved', cell: ({ movedAt }) => <Ago time={movedAt} />, from: 'xs' },
            {
              key: 'actions',
              header: 'Actions',
              cell: (alias) => (
                <AliasActions alias={alias} isOwn={isOwn} path={at(alias.name)} show={setHistory} />
              ),
            },
          ]}
        />
      )}
      <Dialog
        isOpen={history !== null}
        close={() => setHistory(null)}
        title={`Moves of ${history}`}
        size="lg"
      >
        {history !== null && <AliasHistory path={`${at(history)}/history`} />}
      </Dialog>
    </Section>
  );
}

interface ActionsProps {
  alias: Alias;
  isOwn: boolean;
  path: string;
  show: (name: string) => void;
}

function AliasActions({ alias: { name }, isOwn, path, show }: ActionsProps) {
  return (
    <Group gap={6} wrap="nowrap">
      <Button size="xs" variant="subtle" onClick={() => show(name)} aria-label={`History of ${name}`}>
        History
      </Button>
      {isOwn && (
        <>
          <ConfirmButton
            aria-label={`Roll back ${name}`}
            title={`Roll ${name} back?`}
            explanation={`It goes to where it stood before its last move. Whoever asks for ${name} from then on gets that version.`}
            confirm="Roll it back"
            act={async () => {
              const { version } = await api.post<Alias>(`${path}/rollback`);
              notify(`${name} stands on v${version} again.`);
              await invalidate('/api/v1/adapters');
            }}
          >
            Roll back
          </ConfirmButton>
          <ConfirmButton
            aria-label={`Remove ${name}`}
            title={`Remove ${name}?`}
            explanation="Whoever asks for it is told that it is not there. Its history stays."
            confirm="Remove it"
            act={async () => {
              await api.delete(path);
              notify(`${name} is removed.`);
              await invalidate('/api/v1/adapters');
            }}
          >
            Remove
          </ConfirmButton>
        </>
      )}
    </Group>
  );
}

const moved: Record<AliasMove['action'], string> = {
  move: 'moved',
  rollback: 'rolled back',
  remove: 'removed',
};

function AliasHistory({ path }: { path: string }) {
  const moves = useQuery(apiQuery<Page<NamedAliasMove>>(path, { limit: 100 }));
  const name = (version: number | null) => (version === null ? 'nowhere' : `v${version}`);
  return (
    <QueryState query={moves}>
      {({ data }) => (
        <DataTable
          label="Moves"
          rows={data}
          rowKey={({ seq }) => String(seq)}
          columns={[
            { key: 'at', header: 'When', cell: ({ at }) => <Ago time={at} /> },
            { key: 'what', header: 'What', cell: ({ action }) => moved[action] },
            { key: 'where', header: 'Where', cell: ({ from, to }) => `${name(from)} → ${name(to)}` },
            {
              key: 'by',
              header: 'By',
              cell: ({ by, byName }) => <span title={by}>{byName ?? by}</span>,
              from: 'sm',
            },
            { key: 'gate', header: 'Gate', cell: ({ gate }) => gate ?? '–', from: 'md' },
          ]}
        />
      )}
    </QueryState>
  );
}

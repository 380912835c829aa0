import { Group, NativeSelect, Stack, Tabs } from '@mantine/core';
import { type Adapter, type AdapterVersion, type Alias } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Suspense } from 'react';
import { PageHeader } from '../../components/page-header';
import { EmptyState, ErrorState, LoadingState } from '../../components/states';
import { TagBadge } from '../../components/tag-badge';
import { Ago } from '../../components/time';
import { apiQuery } from '../../lib/query';
import { useMay, useSession } from '../../lib/session';
import { AdapterActions } from './adapter-actions';
import { DeletedVersions } from './deleted-versions';
import { type AdapterView, views } from './routes';
import { VersionsView } from './versions-view';
import { lazyPart } from '../../lib/lazy-part';

const EvaluationsView = lazyPart(() => import('./evaluations-view'));
const LineageView = lazyPart(() => import('./lineage-view'));
const CardView = lazyPart(() => import('./card-view'));
const UseView = lazyPart(() => import('./use-view'));
const AccessView = lazyPart(() => import('./access-view'));

const route = getRouteApi('/shell/catalog/$name');

const viewNames: Record<AdapterView, string> = {
  versions: 'Versions',
  evaluations: 'Evaluations',
  lineage: 'Lineage',
  card: 'Card',
  use: 'Use it',
  access: 'Access',
};

/** The part of a view's address that is the same for all of them. */
export interface AdapterProps {
  adapter: Adapter;
  aliases: Alias[];
  versions: AdapterVersion[];
  /** The version that is looked at. */
  version: AdapterVersion;
  /** Path of the adapter in the API, and whose it is, for the parameter `team`. */
  path: string;
  owner: { team?: string };
  /** Name of the team that it belongs to. */
  ownerName: string;
}

/** One adapter: its versions and aliases, where a version comes from, what there is to read, how to use it, and who may. */
export function AdapterPage() {
  const { name } = route.useParams();
  const { team } = route.useSearch();
  const path = `/api/v1/adapters/${name}`;
  const owner = team === undefined ? {} : { team };
  const adapter = useQuery(apiQuery<Adapter>(path, owner));
  const versions = useQuery(apiQuery<{ data: AdapterVersion[] }>(`${path}/versions`, owner));
  const aliases = useQuery(apiQuery<{ data: Alias[] }>(`${path}/aliases`, owner));
  const above = [{ label: 'Catalog', to: '/catalog' }];
  if (adapter.data === undefined || versions.data === undefined || aliases.data === undefined) {
    const failed = [adapter, versions, aliases].find(({ isError }) => isError);
    return (
      <>
        <PageHeader title={name} above={above} />
        {failed === undefined ? (
          <LoadingState rows={8} />
        ) : (
          <ErrorState error={failed.error} retry={() => void failed.refetch()} />
        )}
      </>
    );
  }
  return (
    <>
      <PageHeader
        title={team === undefined ? name : `${team}/${name}`}
        above={above}
        badge={<Badges adapter={adapter.data} />}
        description={<Description adapter={adapter.data} />}
        actions={<AdapterActions adapter={adapter.data} path={path} />}
      />
      <Views
        adapter={adapter.data}
        aliases={aliases.data.data}
        versions={versions.data.data}
        {...{ path, owner }}
      />
    </>
  );
}

function Badges({ adapter: { tags, sharedBy } }: { adapter: Adapter }) {
  return (
    <>
      {sharedBy !== null && <TagBadge color="violet">shared by {sharedBy}</TagBadge>}
      {tags.map((tag) => (
        <Link key={tag} to="/catalog" search={{ tag }} className="row-link">
          {tag}
        </Link>
      ))}
    </>
  );
}

const Description = ({ adapter: { description, baseModel, updatedAt } }: { adapter: Adapter }) => (
  <>
    {description !== '' && <div>{description}</div>}
    An adapter of {baseModel}, changed <Ago time={updatedAt} />.
  </>
);

function Views(props: Omit<AdapterProps, 'version' | 'ownerName'>) {
  const { adapter, aliases, versions } = props;
  const { view = 'versions', version: ref } = route.useSearch();
  const navigate = route.useNavigate();
  const { session } = useSession();
  const may = useMay();
  const number = numberOf(ref, versions, aliases);
  const version = versions.find((one) => one.number === number);
  const isOwn = adapter.sharedBy === null;
  const shown = views.filter(
    (one) => (one !== 'access' && one !== 'evaluations') || (isOwn && may('adapters.read')),
  );
  if (versions.length === 0)
    return (
      <Stack>
        <EmptyState title="No versions">The next job that succeeds publishes one.</EmptyState>
        {isOwn && may('adapters.write') && <DeletedVersions path={props.path} />}
      </Stack>
    );
  if (version === undefined)
    return (
      <EmptyState icon="search" title={`There is no version ${ref} of it`}>
        <Link to="." search={(before) => ({ ...before, version: undefined })} className="row-link">
          To the newest version
        </Link>
      </EmptyState>
    );
  const ownerName = adapter.sharedBy ?? session.teams.find(({ id }) => id === session.teamId)?.name ?? '';
  const rest = { ...props, version, ownerName };
  return (
    <Tabs
      value={view}
      onChange={(next) =>
        void navigate({ search: (before) => ({ ...before, view: (next ?? undefined) as AdapterView }) })
      }
      keepMounted={false}
    >
      <Group justify="space-between" align="end" gap="xs" mb="md">
        <Tabs.List>
          {shown.map((one) => (
            <Tabs.Tab key={one} value={one}>
              {viewNames[one]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {view !== 'card' && view !== 'access' && (
          <NativeSelect
            label="Version"
            size="xs"
            value={String(version.number)}
            onChange={({ currentTarget: { value } }) =>
              void navigate({ search: (before) => ({ ...before, version: `v${value}` }), replace: true })
            }
            data={versions.map((one) => ({
              value: String(one.number),
              label: [`v${one.number}`, ...namesOf(one.number, aliases)].join(' · '),
            }))}
          />
        )}
      </Group>
      {shown.map((one) => (
        <Tabs.Panel key={one} value={one}>
          <Suspense fallback={<LoadingState rows={6} />}>
            <Stack gap="md">
              {one === 'versions' && <VersionsView {...rest} />}
              {one === 'evaluations' && <EvaluationsView {...rest} />}
              {one === 'lineage' && <LineageView {...rest} />}
              {one === 'card' && <CardView {...rest} />}
              {one === 'use' && <UseView {...rest} />}
              {one === 'access' && <AccessView {...rest} />}
            </Stack>
          </Suspense>
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}

/** Names of the aliases that stand on a version. */
export const namesOf = (number: number, aliases: Alias[]): string[] =>
  aliases.filter(({ version }) => version === number).map(({ name }) => name);

/** The number of the version that an address names; null when there is none. */
function numberOf(ref: string | undefined, versions: AdapterVersion[], aliases: Alias[]): number | null {
  if (ref === undefined || ref === 'latest') return Math.max(0, ...versions.map((one) => one.number)) || null;
  const spelt = /^v?(\d+)$/.exec(ref)?.[1];
  return spelt === undefined ? (aliases.find(({ name }) => name === ref)?.version ?? null) : Number(spelt);
}

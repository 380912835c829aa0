import { Anchor, Group, Text } from '@mantine/core';
import { type AdapterVersion } from '@lowrank/contracts';
import { Link } from '@tanstack/react-router';
import { ConfirmButton } from '../../components/confirm-button';
import { DataTable } from '../../components/data-table';
import { Facts } from '../../components/facts';
import { Section } from '../../components/section';
import { Snippet } from '../../components/snippet';
import { TagBadge } from '../../components/tag-badge';
import { Ago } from '../../components/time';
import { api, withParameters } from '../../lib/api';
import { formatBytes, formatCount, formatDuration, formatNumber, formatPercent } from '../../lib/format';
import { notify } from '../../lib/notify';
import { invalidate } from '../../lib/query';
import { useMay } from '../../lib/session';
import { type AdapterProps, namesOf } from './adapter-page';
import { AliasesSection } from './aliases-section';
import { CertificateFacts } from './certificate-facts';
import { DeletedVersions } from './deleted-versions';
import { VersionComparison } from './version-comparison';

/** All versions with their metrics and aliases, and everything about the one that is looked at. */
export function VersionsView(props: AdapterProps) {
  const { adapter, aliases, versions, version, path } = props;
  const may = useMay();
  const isOwn = adapter.sharedBy === null && may('adapters.write');
  return (
    <>
      <AliasesSection {...props} />
      <Section title="All versions">
        <DataTable
          label="All versions"
          rows={versions}
          rowKey={({ id }) => id}
          columns={[
            {
              key: 'number',
              header: 'Version',
              cell: ({ number }) => (
                <Group gap={6} wrap="nowrap">
                  <Link
                    to="."
                    search={(before) => ({ ...before, version: `v${number}` })}
                    className="row-link"
                    aria-current={number === version.number ? 'true' : undefined}
                  >
                    v{number}
                  </Link>
                  {namesOf(number, aliases).map((name) => (
                    <TagBadge key={name} color="blue">
                      {name}
                    </TagBadge>
                  ))}
                </Group>
              ),
            },
            {
              key: 'loss',
              header: 'Held-out loss',
              align: 'right',
              cell: ({ metrics }) => <Change from={metrics.evalLossBefore} to={metrics.evalLossAfter} />,
            },
            {
              key: 'accuracy',
              header: 'Accuracy',
              align: 'right',
              from: 'sm',
              cell: ({ metrics }) =>
                metrics.evalAccuracyAfter === null ? '–' : formatPercent(metrics.evalAccuracyAfter),
            },
            {
              key: 'recipe',
              header: 'Recipe',
              from: 'md',
              cell: ({ recipe }) => `${recipe.objective.type}, rank ${recipe.lora.rank}`,
            },
            {
              key: 'bytes',
              header: 'Size',
              align: 'right',
              from: 'sm',
              cell: ({ bytes }) => formatBytes(bytes),
            },
            { key: 'created', header: 'Published', cell: ({ createdAt }) => <Ago time={createdAt} /> },
            ...(isOwn
              ? [
                  {
                    key: 'delete',
                    header: 'Delete',
                    from: 'md' as const,
                    cell: ({ number }: AdapterVersion) => (
                      <ConfirmButton
                        aria-label={`Delete v${number}`}
                        title={`Delete ${adapter.name} v${number}?`}
                        explanation="Nobody finds it any more. While an alias stands on it, it stays. It can be restored below for a while."
                        confirm="Delete it"
                        act={async () => {
                          await api.delete(`${path}/versions/v${number}`);
                          notify(`v${number} is deleted.`);
                          await invalidate('/api/v1/adapters');
                        }}
                      >
                        Delete
                      </ConfirmButton>
                    ),
                  },
                ]
              : []),
          ]}
        />
      </Section>
      {adapter.sharedBy === null && versions.length > 1 && <VersionComparison {...props} />}
      {isOwn && <DeletedVersions path={path} />}
      <VersionDetail {...props} />
    </>
  );
}

/** A loss before and after training. */
function Change({ from, to }: { from: number | null; to: number | null }) {
  if (to === null) return '–';
  if (from === null) return formatNumber(to);
  return (
    <span>
      <Text span c="dimmed" size="sm">
        {formatNumber(from)} →{' '}
      </Text>
      {formatNumber(to)}
    </span>
  );
}

function VersionDetail({ adapter, version, path, owner }: AdapterProps) {
  const { metrics, certificate, recipe, files, jobId } = version;
  const at = `${path}/versions/v${version.number}`;
  const isOwn = adapter.sharedBy === null;
  return (
    <>
      <Section
        title={`v${version.number}`}
        aside={
          <Anchor href={withParameters(`${at}/archive`, owner)} size="sm" download>
            Download all ({formatBytes(version.bytes)})
          </Anchor>
        }
      >
        <Facts
          rows={[
            { name: 'Training loss', value: formatNumber(metrics.trainLoss) },
            {
              name: 'Held-out loss',
              value: <Change from={metrics.evalLossBefore} to={metrics.evalLossAfter} />,
            },
            { name: 'Steps', value: formatCount(metrics.steps) },
            { name: 'Tokens trained on', value: formatCount(metrics.trainedTokens) },
            { name: 'Time', value: formatDuration(metrics.seconds) },
            { name: 'Peak memory', value: formatBytes(metrics.peakMemoryBytes) },
            {
              name: 'Base model',
              value: `${version.baseModel.name} (${version.baseModel.revision.slice(0, 12)})`,
            },
            {
              name: 'Job',
              value:
                jobId === null ? (
                  'none: it was imported'
                ) : isOwn ? (
                  <Link to="/jobs/$id" params={{ id: jobId }} className="row-link">
                    {jobId}
                  </Link>
                ) : (
                  jobId
                ),
            },
            { name: 'Revision', value: version.revision },
          ]}
        />
        {certificate !== null && <CertificateFacts certificate={certificate} at={version.createdAt} />}
      </Section>
      <Section title="Files">
        <DataTable
          label="Files"
          rows={files}
          rowKey={({ path: file }) => file}
          columns={[
            {
              key: 'path',
              header: 'File',
              cell: ({ path: file }) => (
                <a href={withParameters(`${at}/files/${file}`, owner)} className="row-link" download>
                  {file}
                </a>
              ),
            },
            { key: 'bytes', header: 'Size', align: 'right', cell: ({ bytes }) => formatBytes(bytes) },
            {
              key: 'sha256',
              header: 'SHA-256',
              from: 'md',
              cell: ({ sha256 }) => <code title={sha256}>{sha256.slice(0, 16)}…</code>,
            },
          ]}
        />
      </Section>
      <Section title="Recipe">
        <Snippet
          label={`Recipe of v${version.number}`}
          tabs={[{ label: 'JSON', code: JSON.stringify(recipe, null, 2) }]}
        />
      </Section>
    </>
  );
}

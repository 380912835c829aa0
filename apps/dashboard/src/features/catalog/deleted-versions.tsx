import { type AdapterVersion } from '@lowrank/contracts';
import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { DataTable } from '../../components/data-table';
import { Section } from '../../components/section';
import { Ago } from '../../components/time';
import { api } from '../../lib/api';
import { formatBytes, formatNumber } from '../../lib/format';
import { notify, notifyError } from '../../lib/notify';
import { apiQuery, invalidate } from '../../lib/query';

/** Versions that were deleted and can be brought back; nothing while there are none. */
export function DeletedVersions({ path }: { path: string }) {
  const deleted = useQuery(apiQuery<{ data: AdapterVersion[] }>(`${path}/versions`, { deleted: true })).data;
  const restore = async (number: number) => {
    try {
      await api.post(`${path}/versions/v${number}/restore`);
      notify(`v${number} is back.`);
    } catch (error) {
      notifyError(error);
    }
    await invalidate('/api/v1/adapters');
  };
  if (deleted === undefined || deleted.data.length === 0) return null;
  return (
    <Section title="Deleted versions">
      <DataTable
        label="Deleted versions"
        rows={deleted.data}
        rowKey={({ id }) => id}
        columns={[
          { key: 'number', header: 'Version', cell: ({ number }) => `v${number}` },
          {
            key: 'loss',
            header: 'Held-out loss',
            align: 'right',
            cell: ({ metrics }) => formatNumber(metrics.evalLossAfter),
          },
          {
            key: 'bytes',
            header: 'Size',
            align: 'right',
            from: 'sm',
            cell: ({ bytes }) => formatBytes(bytes),
          },
          { key: 'at', header: 'Published', from: 'xs', cell: ({ createdAt }) => <Ago time={createdAt} /> },
          {
            key: 'restore',
            header: 'Restore',
            cell: ({ number }) => (
              <Button
                size="xs"
                variant="default"
                aria-label={`Restore v${number}`}
                onClick={() => void restore(number)}
              >
                Restore
              </Button>
            ),
          },
        ]}
      />
    </Section>
  );
}

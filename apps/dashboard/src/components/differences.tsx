import { Table, Text } from '@mantine/core';
import { type Job } from '@lowrank/contracts';
import { differences } from '../lib/recipe';
import { runName } from './run-picker';

/** In what the makings of runs differ, a row a field. */
export function Differences({ jobs }: { jobs: readonly Job[] }) {
  const found = differences(
    jobs.map(({ baseModel, dataset, initFrom, recipe }) => ({
      baseModel: `${baseModel.name} ${baseModel.revision.slice(0, 8)}`,
      dataset: `${dataset.filename} ${dataset.sha256.slice(0, 8)}`,
      initFrom,
      ...recipe,
    })),
  );
  if (found.length === 0) return <Text size="sm">They are made of the same, but for their time.</Text>;
  return (
    <Table.ScrollContainer
      minWidth={320}
      scrollAreaProps={{ viewportProps: { tabIndex: 0, role: 'region', 'aria-label': 'Differences' } }}
    >
      <Table aria-label="Differences">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Field</Table.Th>
            {jobs.map((job) => (
              <Table.Th key={job.id}>{runName(job)}</Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {found.map(({ path, values }) => (
            <Table.Tr key={path}>
              <Table.Td>{path}</Table.Td>
              {values.map((value, i) => (
                <Table.Td key={i} style={{ overflowWrap: 'anywhere' }}>
                  {value}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

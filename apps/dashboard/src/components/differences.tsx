import './table.css';
import { Text } from '@mantine/core';
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
    <div className="scroll-x" tabIndex={0} role="region" aria-label="Differences">
      <table className="table" aria-label="Differences" style={{ minWidth: 320 }}>
        <thead>
          <tr>
            <th>Field</th>
            {jobs.map((job) => (
              <th key={job.id}>{runName(job)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {found.map(({ path, values }) => (
            <tr key={path}>
              <td>{path}</td>
              {values.map((value, i) => (
                <td key={i} className="wrap-anywhere">
                  {value}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

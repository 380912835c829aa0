import { type Gate, type SetGate } from '@lowrank/contracts';
import { type AliasChange } from '../catalog/aliases';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { assertMeasurable } from './submit-evaluation';

/**
 * Sets what versions have to reach before an alias may move to them, in place of what was set before. Where the alias stands now it stays.
 * Errors: not_found (adapter, dataset), dataset_invalid.
 */
export async function setGate(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string,
  { adapter, alias, actor }: AliasChange,
  { dataset: datasetId, checks, limits }: SetGate,
): Promise<Gate> {
  const createdAt = clock.now();
  return unitOfWork.run(async ({ adapters, audit, datasets, gates }) => {
    found(await adapters.lock(teamId, adapter), 'adapter', adapter);
    // From here on nobody deletes it.
    const dataset = found(await datasets.hold(teamId, datasetId), 'dataset', datasetId, 'dataset');
    assertMeasurable(dataset);
    const { id, filename, sha256 } = dataset;
    const gate: Gate = {
      ...{ adapter, alias, dataset: { id, filename, sha256 }, checks, limits, createdAt, createdBy: actor },
    };
    await gates.put(teamId, gate);
    const told = checks.map(
      ({ measure, direction, threshold }) => `${measure.metric} ${direction} ${threshold}`,
    );
    await audit.add('gate', { kind: 'alias', name: `${adapter}@${alias}` }, { dataset: id, checks: told });
    return gate;
  });
}

/** Lets an alias move to any version again. Error: not_found. */
export async function removeGate(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  { adapter, alias }: Pick<AliasChange, 'adapter' | 'alias'>,
): Promise<void> {
  await unitOfWork.run(async ({ adapters, audit, gates }) => {
    found(await adapters.lock(teamId, adapter), 'adapter', adapter);
    const name = `${adapter}@${alias}`;
    found((await gates.remove(teamId, adapter, alias)) || null, 'gate', name);
    await audit.add('ungate', { kind: 'alias', name });
  });
}

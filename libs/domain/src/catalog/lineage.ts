import {
  type AdapterVersion,
  type Dataset,
  type Lineage,
  type LineageEdge,
  type LineageNode,
  type VersionName,
} from '@lowrank/contracts';
import { type Ports } from '../ports';
import { findVersion } from './find-version';

/** Most versions that one lineage shows, of those that it comes from and of those that come from it. */
const mostVersions = 500;

export const versionNameOf = ({ id, adapter, number }: AdapterVersion): VersionName => ({
  versionId: id,
  adapter,
  number,
});

/** Where a version comes from and what came of it, as a graph. Error: not_found. */
export function readLineage(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  adapter: string,
  ref: string,
): Promise<Lineage> {
  return unitOfWork.read(async (repositories) => {
    const { id } = await findVersion(repositories, teamId, adapter, ref);
    const related = await repositories.adapters.related(teamId, id, mostVersions + 1);
    const versions = related.slice(0, mostVersions);
    const used = new Set(versions.flatMap(({ dataset }) => dataset?.id ?? []));
    const datasets = await repositories.datasets.withIds(teamId, [...used]);
    return graphOf(id, { versions, datasets, isTruncated: related.length > mostVersions });
  });
}

function graphOf(
  of: string,
  {
    versions,
    datasets,
    isTruncated,
  }: {
    versions: readonly AdapterVersion[];
    /** Those that still are, of which the versions were made. */
    datasets: readonly Dataset[];
    isTruncated: boolean;
  },
): Lineage {
  const names = new Map(datasets.map(({ id, name, version }) => [id, { name, version }]));
  const nodes = new Map<string, LineageNode>();
  const edges: LineageEdge[] = [];
  for (const { id, adapter, number, recipe, deletedAt } of versions)
    nodes.set(id, { type: 'version', id, adapter, number, recipe, isGone: deletedAt !== null });
  const add = (
    node: LineageNode,
    to: string,
    kind: LineageEdge['kind'],
    step: number | null = null,
  ): void => {
    if (!nodes.has(node.id)) nodes.set(node.id, node);
    edges.push({ from: node.id, to, kind, ...(step !== null && { step }) });
  };
  for (const { id, parents, baseModel, dataset, jobId, checkpointStep } of versions) {
    for (const { versionId, adapter, number, kind } of parents)
      // A parent that is not among them has no row any more, or is one too many.
      add({ type: 'version', id: versionId, adapter, number, recipe: null, isGone: !isTruncated }, id, kind);
    add({ type: 'baseModel', ...baseModel }, id, 'base');
    if (dataset !== null) {
      const named = names.get(dataset.id) ?? { name: null, version: null };
      add({ type: 'dataset', ...dataset, ...named }, id, 'data');
    }
    if (jobId !== null) add({ type: 'job', id: jobId }, id, 'job', checkpointStep);
  }
  return { of, nodes: [...nodes.values()], edges, isTruncated };
}

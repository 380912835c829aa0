import {
  type AdapterVersion,
  type Evaluation,
  type FieldDiff,
  type FileDiff,
  readVersionSelector,
  type VersionDiff,
  type VersionMetrics,
  versionMetricsSchema,
} from '@lowrank/contracts';
import { type Ports } from '../ports';
import { measurementKey, measuredValues } from '../evaluations/standing';
import { type Repositories } from '../ports/repositories';
import { findVersion } from './find-version';
import { versionNameOf } from './lineage';

/** Compares two versions, of one adapter or of two. `to` names the other like `support@v3`. Error: not_found. */
export function compareVersions(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  from: { adapter: string; version: string },
  to: string,
): Promise<VersionDiff> {
  const other = readVersionSelector(to);
  return unitOfWork.read(async (repositories) =>
    diffOf(
      await evaluatedVersion(repositories, teamId, from),
      await evaluatedVersion(repositories, teamId, other),
    ),
  );
}

/** A version, and its evaluations from the newest on. */
export type EvaluatedVersion = AdapterVersion & { evaluations: Evaluation[] };

async function evaluatedVersion(
  repositories: Repositories,
  teamId: string,
  { adapter, version: ref }: { adapter: string; version: string },
): Promise<EvaluatedVersion> {
  const version = await findVersion(repositories, teamId, adapter, ref);
  const evaluations = await repositories.evaluations.list(teamId, adapter, version.number);
  return { ...version, evaluations };
}

export function diffOf(from: EvaluatedVersion, to: EvaluatedVersion): VersionDiff {
  return {
    from: versionNameOf(from),
    to: versionNameOf(to),
    source: fieldDiffs(sourceOf(from), sourceOf(to)),
    recipe: fieldDiffs(from.recipe, to.recipe),
    metrics: metricDiffs(from.metrics, to.metrics),
    evaluations: evaluationDiffs(from.evaluations, to.evaluations),
    files: fileDiffs(from, to),
  };
}

const sourceOf = ({ baseModel, dataset, templateSha256, parents }: AdapterVersion) => ({
  baseModel: { name: baseModel.name, revision: baseModel.revision },
  dataset: dataset && { id: dataset.id, sha256: dataset.sha256 },
  templateSha256,
  parents: parents.map(({ adapter, number, kind }) => `${adapter}@v${number} (${kind})`),
});

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Fields of one or the other that differ, as far down as both are records; lists are compared whole. */
function fieldDiffs(from: unknown, to: unknown, path = ''): FieldDiff[] {
  if (isRecord(from) && isRecord(to)) {
    const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])];
    return keys.flatMap((key) => fieldDiffs(from[key], to[key], path === '' ? key : `${path}.${key}`));
  }
  const isSame = JSON.stringify(sorted(from)) === JSON.stringify(sorted(to));
  return isSame ? [] : [{ path, from: from ?? null, to: to ?? null }];
}

/** A value that two equal ones give the same text of. */
const sorted = (value: unknown): unknown =>
  isRecord(value) ? Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)) : value;

function metricDiffs(from: VersionMetrics, to: VersionMetrics): VersionDiff['metrics'] {
  const names = Object.keys(versionMetricsSchema.shape) as (keyof VersionMetrics)[];
  return names.map((name) => {
    const [before, after] = [from[name] ?? null, to[name] ?? null];
    const change = before === null || after === null ? null : after - before;
    return { name, from: before, to: after, change };
  });
}

function evaluationDiffs(from: readonly Evaluation[], to: readonly Evaluation[]): VersionDiff['evaluations'] {
  const values = measuredValues(from);
  const told = new Set<string>();
  return to.flatMap(({ dataset: { filename, sha256 }, limits, results }) =>
    results.flatMap(({ measure, value }) => {
      const key = measurementKey(sha256, limits, measure);
      const before = values.get(key);
      // Of several with the same key the first is the newest.
      if (before === undefined || told.has(key)) return [];
      told.add(key);
      return { dataset: { filename, sha256 }, measure, from: before, to: value, change: value - before };
    }),
  );
}

function fileDiffs(from: AdapterVersion, to: AdapterVersion): FileDiff[] {
  const contentOf = ({ files }: AdapterVersion, path: string): FileDiff['from'] => {
    const file = files.find((one) => one.path === path);
    return file === undefined ? null : { sha256: file.sha256, bytes: file.bytes };
  };
  const paths = [...new Set([...from.files, ...to.files].map(({ path }) => path))].sort();
  return paths.map((path) => {
    const [before, after] = [contentOf(from, path), contentOf(to, path)];
    return { path, status: statusOf(before, after), from: before, to: after };
  });
}

function statusOf(before: FileDiff['from'], after: FileDiff['to']): FileDiff['status'] {
  if (before === null) return 'added';
  if (after === null) return 'removed';
  return before.sha256 === after.sha256 ? 'same' : 'changed';
}

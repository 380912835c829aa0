import { type AdapterVersion, isNewest, versionNumberOf } from '@lowrank/contracts';
import { found } from '../not-found';
import { type Repositories } from '../ports/repositories';

/**
 * The version of an adapter that a reference names: `v3`, `3`, `latest`, or an alias such as `prod`.
 * Error: not_found, of the adapter or of the version.
 */
export async function findVersion(
  { adapters, aliases }: Pick<Repositories, 'adapters' | 'aliases'>,
  teamId: string,
  adapter: string,
  ref: string,
): Promise<AdapterVersion> {
  const { latestVersion } = found(await adapters.find(teamId, adapter), 'adapter', adapter);
  const number = isNewest(ref)
    ? latestVersion
    : (versionNumberOf(ref) ?? (await aliases.find(teamId, adapter, ref))?.version ?? null);
  const version = number === null ? null : await adapters.version(teamId, adapter, number);
  return found(version, 'version', `${adapter}@${ref}`);
}

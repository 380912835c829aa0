import {
  type Adapter,
  type AdapterVersion,
  type Alias,
  LowrankError,
  versionNumberOf,
} from '@lowrank/contracts';
import { found, notFound } from '../not-found';
import { type Ports } from '../ports';
import { findVersion } from './find-version';

type DeletionPorts = Pick<Ports, 'unitOfWork' | 'clock'>;

/**
 * Deletes a version: nobody finds it any more until it is restored. Its files stay until the retention is over, and its number is never given again.
 * Errors: not_found; validation_failed unless it is named by its number; in_use while an alias stands on it.
 */
export async function deleteVersion(
  { unitOfWork, clock }: DeletionPorts,
  teamId: string,
  adapter: string,
  ref: string,
): Promise<void> {
  const number = assertNumber(ref);
  const at = clock.now();
  await unitOfWork.run(async (repositories) => {
    const { adapters, aliases, audit } = repositories;
    found(await adapters.lock(teamId, adapter), 'adapter', adapter);
    const { id } = await findVersion(repositories, teamId, adapter, ref);
    const standing = (await aliases.list(teamId, adapter)).filter(({ version }) => version === number);
    if (standing.length > 0) throw inUse(`Version ${adapter}@v${number}`, standing);
    await adapters.setVersionDeleted(teamId, adapter, number, at);
    await audit.add('delete', { kind: 'version', id, name: `${adapter}@v${number}` });
  });
}

/** Brings a deleted version back. One that is not deleted stays as it is. Errors: not_found; validation_failed unless named by its number. */
export async function restoreVersion(
  { unitOfWork }: DeletionPorts,
  teamId: string,
  adapter: string,
  ref: string,
): Promise<AdapterVersion> {
  const number = assertNumber(ref);
  return unitOfWork.run(async (repositories) => {
    const { adapters, audit } = repositories;
    found(await adapters.lock(teamId, adapter), 'adapter', adapter);
    await adapters.setVersionDeleted(teamId, adapter, number, null);
    const version = await findVersion(repositories, teamId, adapter, ref);
    await audit.add('restore', { kind: 'version', id: version.id, name: `${adapter}@v${number}` });
    return version;
  });
}

/**
 * Deletes an adapter with all of its versions, which can be restored together. Its name stays taken.
 * Errors: not_found; in_use while it has aliases, or jobs that have not ended.
 */
export async function deleteAdapter(
  { unitOfWork, clock }: DeletionPorts,
  teamId: string,
  name: string,
): Promise<void> {
  const at = clock.now();
  await unitOfWork.run(async ({ adapters, aliases, audit, jobs }) => {
    const { id } = found(await adapters.lock(teamId, name), 'adapter', name);
    const standing = await aliases.list(teamId, name);
    if (standing.length > 0) throw inUse(`Adapter '${name}'`, standing);
    const unfinished = await jobs.countUnfinished(teamId, name);
    if (unfinished > 0)
      throw new LowrankError(
        'in_use',
        `Adapter '${name}' cannot be deleted: ${unfinished} of its jobs have not ended.`,
        undefined,
        { help: 'Wait for them, or cancel them first.' },
      );
    await adapters.setDeleted(teamId, name, at);
    await audit.add('delete', { kind: 'adapter', id, name });
  });
}

/** Brings a deleted adapter back, with the versions that it had. One that is not deleted stays as it is. Error: not_found. */
export function restoreAdapter(
  { unitOfWork }: DeletionPorts,
  teamId: string,
  name: string,
): Promise<Adapter> {
  return unitOfWork.run(async ({ adapters, audit }) => {
    await adapters.setDeleted(teamId, name, null);
    const adapter = await adapters.find(teamId, name);
    if (adapter === null) throw notFound('adapter', name);
    await audit.add('restore', { kind: 'adapter', id: adapter.id, name });
    return adapter;
  });
}

function inUse(what: string, aliases: readonly Alias[]): LowrankError {
  const names = aliases.map(({ name, version }) => `'${name}' (v${version})`).join(', ');
  return new LowrankError(
    'in_use',
    `${what} cannot be deleted: ${aliases.length === 1 ? 'alias' : 'aliases'} ${names} ${aliases.length === 1 ? 'stands' : 'stand'} on it.`,
    undefined,
    { help: 'Move the alias to another version, or remove it, first.' },
  );
}

/** `latest` or an alias would be another version by the time that it is deleted. */
function assertNumber(ref: string): number {
  const number = versionNumberOf(ref);
  if (number !== null) return number;
  throw new LowrankError(
    'validation_failed',
    `'${ref}' names no version for good; versions are deleted and restored by their number, e.g. v3.`,
    [{ path: 'version', message: "must be a number such as 'v3'" }],
  );
}

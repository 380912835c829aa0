import { LowrankError, type Pin, type ServeTarget, versionNumberOf } from '@lowrank/contracts';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type Repositories } from '../ports/repositories';
import { targetOf } from './find-servable';
import { findVersion } from './find-version';

/** Of a team: a list that is told to servers as a whole. */
const mostPins = 500;

/** What a pin names: an adapter, and `v3`, `latest` or an alias. */
export interface PinName {
  adapter: string;
  ref: string;
}

/** What servers load for a pin; `target` null: it stands for nothing any more, such as an alias that is removed. */
export interface PinTarget extends Pin {
  teamId: string;
  version: number | null;
  target: (ServeTarget & { adapter: NonNullable<ServeTarget['adapter']> }) | null;
}

type Readable = Pick<Repositories, 'adapters' | 'aliases' | 'baseModels' | 'pins'>;
/** `3` and `v3` are the same. */
const canonical = (ref: string): string => {
  const number = versionNumberOf(ref);
  return number === null ? ref : `v${number}`;
};
const nameOf = ({ adapter, ref }: PinName): string => `${adapter}@${ref}`;

/** Errors: not_found of the adapter, the version or its base model; base_model_not_ready. */
export async function pinTarget(
  repositories: Readable,
  teamId: string,
  { adapter, ref }: PinName,
): Promise<{ version: number; target: NonNullable<PinTarget['target']> }> {
  const version = await findVersion(repositories, teamId, adapter, ref);
  return { version: version.number, target: await targetOf(repositories, teamId, version) };
}

async function resolve(repositories: Readable, pin: Pin & { teamId: string }): Promise<PinTarget> {
  try {
    return { ...pin, ...(await pinTarget(repositories, pin.teamId, pin)) };
  } catch (error) {
    if (!(error instanceof LowrankError) || error.status >= 500) throw error;
    return { ...pin, version: null, target: null };
  }
}

/** All pins of a team, and what they stand for now; null: of all teams, for a unit of work that sees them. */
export async function pinTargets(repositories: Readable, teamId: string | null): Promise<PinTarget[]> {
  const pins =
    teamId === null
      ? await repositories.pins.all()
      : (await repositories.pins.list(teamId)).map((pin) => ({ ...pin, teamId }));
  const targets: PinTarget[] = [];
  for (const pin of pins) targets.push(await resolve(repositories, pin));
  return targets;
}

/** Writes down that servers keep an adapter. Errors: not_found, quota_exceeded. */
export const addPin = (
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string,
  { adapter, ref, actor }: PinName & { actor: string },
): Promise<Pin> =>
  unitOfWork.run(async (repositories) => {
    const { adapters, audit, pins } = repositories;
    found(await adapters.lock(teamId, adapter), 'adapter', adapter);
    await findVersion(repositories, teamId, adapter, ref);
    const name = { adapter, ref: canonical(ref) };
    const all = await pins.list(teamId);
    const known = all.find((pin) => nameOf(pin) === nameOf(name));
    if (known === undefined && all.length >= mostPins)
      throw new LowrankError('quota_exceeded', `The team has ${all.length} pins, and may have no more.`);
    const pin = known ?? { ...name, createdAt: clock.now(), createdBy: actor };
    await pins.put(teamId, pin);
    await audit.add('pin', { kind: 'adapter', name: nameOf(name) });
    return pin;
  });

/** Error: not_found. */
export const removePin = (
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  { adapter, ref }: PinName,
): Promise<void> =>
  unitOfWork.run(async ({ adapters, audit, pins }) => {
    found(await adapters.lock(teamId, adapter), 'adapter', adapter);
    const name = nameOf({ adapter, ref: canonical(ref) });
    found((await pins.remove(teamId, adapter, canonical(ref))) || null, 'pin', name);
    await audit.add('unpin', { kind: 'adapter', name });
  });

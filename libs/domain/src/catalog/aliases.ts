import { type Alias, type AliasMove, LowrankError, type MoveAlias } from '@lowrank/contracts';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type Repositories } from '../ports/repositories';
import { assertPassed, standingOf } from '../evaluations/standing';
import { findVersion } from './find-version';

/** Names an alias, and who does something to it: the id of an API key. */
export interface AliasChange {
  adapter: string;
  alias: string;
  actor: string;
}
const nameOf = ({ adapter, alias }: Omit<AliasChange, 'actor'>): string => `${adapter}@${alias}`;

/**
 * Lets an alias stand on a version, making it if need be. Where it stands there already nothing is written.
 * Errors: not_found, of the adapter or of the version; gate_not_passed when the alias has a gate that the version has not passed, with what is missing.
 */
export async function moveAlias(
  ports: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string,
  change: AliasChange,
  { version: ref }: MoveAlias,
): Promise<Alias> {
  const moved = await changing(ports, teamId, change, async (repositories, current, last) => {
    const { number } = await findVersion(repositories, teamId, change.adapter, ref);
    if (current?.version === number) return null;
    const gate = await repositories.gates.find(teamId, change.adapter, change.alias);
    if (gate !== null) {
      const evaluations = await repositories.evaluations.list(teamId, change.adapter, number);
      assertPassed(gate, number, standingOf(gate, evaluations));
    }
    const returnsTo = current && last ? last.seq : null;
    return { action: 'move', to: number, returnsTo, gate: gate === null ? null : 'passed' };
  });
  return found(moved, 'alias', nameOf(change));
}

/**
 * Lets an alias stand where it stood before its last move. Done again it goes back one further; a move made afterwards is undone first.
 * A gate is not asked: what the alias goes back to has stood there before.
 * Errors: not_found; conflict when it has never stood elsewhere, or the version is deleted.
 */
export async function rollBackAlias(
  ports: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string,
  change: AliasChange,
): Promise<Alias> {
  const { adapter, alias } = change;
  const moved = await changing(ports, teamId, change, async ({ adapters, aliases, gates }, current, last) => {
    found(current, 'alias', nameOf(change));
    const before = last?.returnsTo ? await aliases.move(teamId, adapter, alias, last.returnsTo) : null;
    if (before === null)
      throw new LowrankError(
        'conflict',
        `Alias '${alias}' of '${adapter}' has not stood on another version before.`,
      );
    if (before.to !== null && (await adapters.version(teamId, adapter, before.to)) === null)
      throw new LowrankError(
        'conflict',
        `Version ${adapter}@v${before.to}, on which alias '${alias}' stood before, is deleted.`,
        undefined,
        { help: 'Restore the version first, or move the alias to another one.' },
      );
    const gate = (await gates.find(teamId, adapter, alias)) === null ? null : ('stood-before' as const);
    return { action: 'rollback', to: before.to, returnsTo: before.returnsTo, gate };
  });
  return found(moved, 'alias', nameOf(change));
}

/** Removes an alias; its history stays. Error: not_found. */
export async function removeAlias(
  ports: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string,
  change: AliasChange,
): Promise<void> {
  await changing(ports, teamId, change, async (_repositories, current) => {
    found(current, 'alias', nameOf(change));
    return { action: 'remove', to: null, returnsTo: null, gate: null };
  });
}

type Step = Pick<AliasMove, 'action' | 'to' | 'returnsTo' | 'gate'>;

/** Writes down what `decide` makes of an alias as it is, one change of an adapter's aliases at a time; null changes nothing. */
function changing(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string,
  change: AliasChange,
  decide: (
    repositories: Repositories,
    current: Alias | null,
    last: AliasMove | undefined,
  ) => Promise<Step | null>,
): Promise<Alias | null> {
  const at = clock.now();
  return unitOfWork.run(async (repositories) => {
    found(await repositories.adapters.lock(teamId, change.adapter), 'adapter', change.adapter);
    return changeAlias(repositories, teamId, change, at, (current, last) =>
      decide(repositories, current, last),
    );
  });
}

/** The same inside a transaction that has the adapter locked. */
export async function changeAlias(
  { aliases, audit }: Pick<Repositories, 'aliases' | 'audit'>,
  teamId: string,
  { adapter, alias, actor }: AliasChange,
  at: string,
  decide: (current: Alias | null, last: AliasMove | undefined) => Promise<Step | null>,
): Promise<Alias | null> {
  const current = await aliases.find(teamId, adapter, alias);
  const [last] = await aliases.moves(teamId, adapter, alias, { limit: 1 });
  const step = await decide(current, last);
  const from = current?.version ?? null;
  const { action, to } = step ?? { action: 'move', to: from };
  await audit.add(action, { kind: 'alias', name: nameOf({ adapter, alias }) }, { from, to });
  if (step === null) return current;
  const seq = (last?.seq ?? 0) + 1;
  await aliases.record(teamId, adapter, alias, { ...step, seq, from, at, by: actor });
  return aliases.find(teamId, adapter, alias);
}

import { type PartyRecord } from '../ports/parties';
import { type Repositories } from '../ports/repositories';

/** The party as of a later time, its clock run on. */
export function runOn(party: PartyRecord, at: string): PartyRecord {
  const elapsed = Math.max(0, Date.parse(at) - Date.parse(party.clockAt)) / 1000;
  return { ...party, clock: party.clock + elapsed / party.members, clockAt: at };
}

/** A member leaves; the last takes the party with it. Resolves to the seconds of the slot that were this member's; null: there is no such party. */
export async function leaveParty(
  { parties }: Pick<Repositories, 'parties'>,
  id: string,
  at: string,
): Promise<number | null> {
  const found = await parties.lock(id);
  if (found === null) return null;
  const party = runOn(found, at);
  if (party.members === 1) await parties.remove(id);
  else await parties.update({ ...party, members: party.members - 1 });
  return party.clock;
}

/** Jobs that hold a slot, by slot: those of one party hold one. In the order of the first of each. */
export function bySlot<T extends { id: string; party: string | null }>(placed: readonly T[]): [T, ...T[]][] {
  const slots = new Map<string, [T, ...T[]]>();
  for (const job of placed) {
    const slot = slots.get(job.party ?? job.id);
    if (slot) slot.push(job);
    else slots.set(job.party ?? job.id, [job]);
  }
  return [...slots.values()];
}

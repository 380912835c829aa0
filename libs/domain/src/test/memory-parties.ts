import { type PartyRepository } from '../ports/parties';
import { compare } from './rows';
import { type Tables } from './tables';

export function partyRepositoryOf(tables: Tables): PartyRepository {
  const without = (id: string) => tables.parties.filter((party) => party.id !== id);
  return {
    insert: async (party) => {
      tables.parties.push(party);
    },
    lock: async (id) => tables.parties.find((party) => party.id === id) ?? null,
    update: async (party) => {
      tables.parties = [...without(party.id), party];
    },
    remove: async (id) => {
      tables.parties = without(id);
    },
    list: async () => [...tables.parties].sort((a, b) => compare(a.id, b.id)),
  };
}

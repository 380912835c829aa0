import { type Repositories } from '../ports/repositories';
import { compare, ofTeam, withoutTeam } from './rows';
import { type Tables } from './tables';

export function pinRepositoryOf(tables: Tables): Repositories['pins'] {
  type Row = Tables['pins'][number];
  const inOrder = (rows: readonly Row[]) =>
    rows.toSorted(
      (a, b) => compare(a.teamId, b.teamId) || compare(a.adapter, b.adapter) || compare(a.ref, b.ref),
    );
  return {
    list: async (teamId) => inOrder(ofTeam(tables.pins, teamId)).map(withoutTeam),
    all: async () => inOrder(tables.pins),
    put: async (teamId, pin) => {
      const isThere = ofTeam(tables.pins, teamId).some(
        ({ adapter, ref }) => adapter === pin.adapter && ref === pin.ref,
      );
      if (!isThere) tables.pins.push({ ...pin, teamId });
    },
    remove: async (teamId, adapter, ref) => {
      const before = tables.pins.length;
      tables.pins = tables.pins.filter(
        (row) => row.teamId !== teamId || row.adapter !== adapter || row.ref !== ref,
      );
      return tables.pins.length < before;
    },
  };
}

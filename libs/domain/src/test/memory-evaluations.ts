import { type Evaluation } from '@lowrank/contracts';
import { type Repositories } from '../ports/repositories';
import { compare, ofTeam, orNull, refuseUnless, withoutTeam } from './rows';
import { type Tables } from './tables';

export function evaluationRepositoryOf(tables: Tables): Repositories['evaluations'] {
  return {
    publish: async (teamId, { jobId, versionId, rows, results }, { at, ...facts }) => {
      if (tables.evaluations.some((one) => one.jobId === jobId)) return;
      const version = ofTeam(tables.versions, teamId).find(({ id }) => id === versionId);
      refuseUnless(version !== undefined, 'version');
      const { adapter = '', number = 0 } = version ?? {};
      const row: Evaluation = { jobId, adapter, version: number, rows, results, ...facts, createdAt: at };
      tables.evaluations.push({ teamId, ...row });
    },
    setMove: async (jobId, move) => {
      for (const one of tables.evaluations) if (one.jobId === jobId) one.move = move;
    },
    list: async (teamId, adapter, version) =>
      ofTeam(tables.evaluations, teamId)
        .filter((one) => one.adapter === adapter && one.version === version)
        .sort((a, b) => compare(b.createdAt, a.createdAt) || compare(b.jobId, a.jobId))
        .map(withoutTeam),
  };
}

export function gateRepositoryOf(tables: Tables): Repositories['gates'] {
  const of = (teamId: string, adapter: string) =>
    ofTeam(tables.gates, teamId).filter((one) => one.adapter === adapter);
  const remove: Repositories['gates']['remove'] = async (teamId, adapter, alias) => {
    const found = of(teamId, adapter).find((one) => one.alias === alias);
    tables.gates = tables.gates.filter((one) => one !== found);
    return found !== undefined;
  };
  return {
    remove,
    list: async (teamId, adapter) =>
      of(teamId, adapter)
        .sort((a, b) => compare(a.alias, b.alias))
        .map(withoutTeam),
    find: async (teamId, adapter, alias) =>
      orNull(
        of(teamId, adapter).find((one) => one.alias === alias),
        withoutTeam,
      ),
    put: async (teamId, gate) => {
      await remove(teamId, gate.adapter, gate.alias);
      tables.gates.push({ ...gate, teamId });
    },
  };
}

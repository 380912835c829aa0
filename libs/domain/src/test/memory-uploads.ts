import { type UploadRepository } from '../ports/uploads';
import { byAge, ofTeam } from './rows';
import { type Tables } from './tables';

export const uploadRepositoryOf = (tables: Tables): UploadRepository => ({
  insert: async (upload) => void tables.uploads.push(upload),
  find: async (teamId, id) => ofTeam(tables.uploads, teamId).find((one) => one.id === id) ?? null,
  list: async (teamId) => ofTeam(tables.uploads, teamId).sort((a, b) => byAge(b, a)),
  remove: async (teamId, id) => {
    const before = tables.uploads.length;
    tables.uploads = tables.uploads.filter((one) => one.teamId !== teamId || one.id !== id);
    return tables.uploads.length < before;
  },
  expired: async (now, limit) => tables.uploads.filter(({ expiresAt }) => expiresAt <= now).slice(0, limit),
});

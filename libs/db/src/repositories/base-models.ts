import { type BaseModel, LowrankError } from '@lowrank/contracts';
import { type BaseModelRepository } from '@lowrank/domain';
import { isUniqueViolation } from '../errors';
import { type BaseModelModel } from '../generated/models';
import { placed, readPage } from '../paging';
import { fromJson, iso, toJson, type Tx } from '../values';

const toBaseModel = (row: BaseModelModel): BaseModel => ({
  id: row.id,
  name: row.name,
  source: row.source,
  revision: row.revision,
  modelType: row.modelType,
  parameters: Number(row.parameters),
  contextLength: row.contextLength,
  vocabSize: row.vocabSize,
  decoder: row.decoder === null ? null : fromJson(row.decoder),
  files: fromJson(row.files),
  status: row.status as BaseModel['status'],
  createdAt: iso(row.createdAt),
});

export const baseModelRepository = (db: Tx): BaseModelRepository => ({
  async insert(teamId, model) {
    try {
      await db.baseModel.create({
        data: {
          ...model,
          teamId,
          decoder: model.decoder === null ? undefined : toJson(model.decoder),
          files: toJson(model.files),
          createdAt: new Date(model.createdAt),
        },
      });
    } catch (cause) {
      if (!isUniqueViolation(cause)) throw cause;
      throw new LowrankError('name_taken', `There is a base model '${model.name}' already.`, undefined, {
        cause,
      });
    }
  },

  async find(teamId, nameOrId) {
    // An id has a '_' followed by 24 characters, which a name may have too: whoever is called so loses to the id.
    const byId = await db.baseModel.findFirst({ where: { teamId, id: nameOrId } });
    const row = byId ?? (await db.baseModel.findFirst({ where: { teamId, name: nameOrId } }));
    return row && toBaseModel(row);
  },

  async bySource(teamId, source) {
    const rows = await db.baseModel.findMany({
      where: { teamId, source, status: 'ready' },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
    });
    return rows.map(toBaseModel);
  },

  list: (teamId, page) =>
    readPage(
      page,
      (id) => db.baseModel.findFirst({ where: { teamId, id }, select: placed }),
      (older, window) => db.baseModel.findMany({ where: { teamId, ...older }, ...window }),
      toBaseModel,
    ),

  async firstReady(teamId) {
    const row = await db.baseModel.findFirst({
      where: { teamId, status: 'ready' },
      orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
    });
    return row && toBaseModel(row);
  },
});

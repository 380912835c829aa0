import { type BaseModel } from '@lowrank/contracts';
import { type Ports } from '../ports';

/** What an import found out, once every file is in the object store. */
export type BaseModelFacts = Omit<BaseModel, 'id' | 'status' | 'createdAt'>;

/** Writes an imported base model's row, ready for jobs. Error: name_taken. */
export async function addBaseModel(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  facts: BaseModelFacts,
): Promise<BaseModel> {
  const model: BaseModel = {
    id: ids.make('baseModel'),
    ...facts,
    status: 'ready',
    createdAt: clock.now(),
  };
  const { id, name, source, revision } = model;
  await unitOfWork.run(async ({ baseModels, audit }) => {
    await baseModels.insert(teamId, model);
    await audit.add('import', { kind: 'base-model', id, name }, { source, revision });
  });
  return model;
}

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
  await unitOfWork.run(({ baseModels }) => baseModels.insert(teamId, model));
  return model;
}

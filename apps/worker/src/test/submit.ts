import { type CreateJobInput, createJobSchema, type Job, type RecipeInput } from '@lowrank/contracts';
import {
  addBaseModel,
  addDataset,
  type BaseModelFacts,
  type DatasetFacts,
  type Ports,
  submitJob,
} from '@lowrank/domain';
import { tinyDecoder } from '@lowrank/testing';

export interface Submitted {
  teamId: string;
  job: Job;
}

const hash = (digit: string): string => digit.repeat(64);

/**
 * A job as the API would submit it; base model and dataset exist in the catalog only, unless facts are given. With `like` they are those
 * of another job.
 */
export async function submitTestJob(
  ports: Ports,
  {
    baseModel,
    dataset,
    recipe = {},
    like,
    ...scheduling
  }: {
    like?: Job;
    baseModel?: BaseModelFacts;
    dataset?: DatasetFacts;
    recipe?: RecipeInput;
    priority?: number;
    placement?: CreateJobInput['placement'];
  } = {},
): Promise<Submitted> {
  const teamId = await ports.unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('test'));
  const suffix = ports.ids.make('job').slice(-8);
  const model =
    like?.baseModel ??
    (await addBaseModel(
      ports,
      teamId,
      baseModel ?? {
        name: `tiny-${suffix}`,
        source: 'tiny',
        revision: '0'.repeat(40),
        modelType: 'llama',
        parameters: 1000,
        contextLength: 1024,
        vocabSize: 64,
        decoder: tinyDecoder,
        files: [{ path: 'config.json', sha256: hash('a'), bytes: 2 }],
      },
    ));
  const data =
    like?.dataset ??
    (await addDataset(
      ports,
      teamId,
      dataset ?? {
        filename: 'chats.jsonl',
        bytes: 10,
        sha256: hash('b'),
        format: 'chat',
        rows: 8,
        tokens: 80,
        lossTokens: 40,
        tokensOf: model.name,
      },
    ));
  const request = { baseModel: model.name, dataset: data.id, adapter: `adapter-${suffix}`, recipe };
  const job = await submitJob(ports, teamId, createJobSchema.parse({ ...request, ...scheduling }));
  return { teamId, job };
}

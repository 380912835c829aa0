import { team, World } from '../test/world';
import { addBaseModel, type BaseModelFacts } from './add-base-model';
import { addDataset } from './add-dataset';
import { deleteDataset } from './delete-dataset';

const world = new World();

it('adds a base model that is ready, under a free name', async () => {
  const facts: BaseModelFacts = {
    name: 'second',
    source: 'owner/second',
    revision: 'b'.repeat(40),
    modelType: 'qwen2',
    parameters: 500,
    contextLength: 1024,
    vocabSize: 128,
    decoder: null,
    files: [],
  };
  const model = await addBaseModel(world, team, facts);
  expect(model).toMatchObject({ ...facts, status: 'ready', createdAt: world.clock.now() });
  await expect(addBaseModel(world, team, facts)).rejects.toMatchObject({ code: 'name_taken' });
});

it('adds and deletes a dataset', async () => {
  const dataset = await addDataset(world, team, {
    filename: 'a.jsonl',
    bytes: 10,
    sha256: 'a'.repeat(64),
    format: 'alpaca',
    rows: 1,
    tokens: null,
    lossTokens: null,
    tokensOf: null,
  });
  await deleteDataset(world, team, dataset.id);
  await expect(deleteDataset(world, team, dataset.id)).rejects.toMatchObject({ code: 'not_found' });
});

import { putInState } from '@lowrank/testing';
import { reportMetrics } from '@lowrank/domain';
import type OpenAI from 'openai';
import { type TestApi } from '../test/api';
import { keep, metric, publish, startAttempt } from '../test/job';
import { OpenAiWorld, refused, short } from '../test/openai';

let world: OpenAiWorld;
let api: TestApi;
let client: OpenAI;
beforeAll(async () => {
  world = await OpenAiWorld.start();
  ({ api, client } = world);
});
afterAll(() => api.close());

describe('fine-tuning jobs', () => {
  it('are made of hyperparameters and our own settings, and say what they use', async () => {
    const hyperparameters = { n_epochs: 2, batch_size: 6, learning_rate_multiplier: 0.5 };
    const job = await world.submit({
      ...{ suffix: 'My Captain!', seed: 7, metadata: { run: '1' } },
      method: { type: 'supervised', supervised: { hyperparameters } },
      qlora: { ...short, lora: { rank: 4 } },
    });
    expect(job).toMatchObject({
      ...{ object: 'fine_tuning.job', model: 'tiny', status: 'queued', seed: 7, metadata: { run: '1' } },
      ...{
        finished_at: null,
        fine_tuned_model: null,
        error: null,
        trained_tokens: null,
        estimated_finish: null,
      },
      ...{ organization_id: api.teamId, result_files: [], integrations: [], validation_file: null },
      ...{ hyperparameters, method: { type: 'supervised', supervised: { hyperparameters } } },
      qlora: {
        ...{ lora: { rank: 4, alpha: 8 }, optimizer: { learningRate: 1e-4 } },
        training: { epochs: 2, rows: 3, accumulation: 2, seed: 7, sequenceLength: 64 },
      },
    });
    const ours = await api.call('GET', `/api/v1/jobs/${job.id}`, 200);
    expect(ours).toMatchObject({ adapter: 'my-captain', recipe: job.qlora, metadata: { run: '1' } });
    expect(await client.fineTuning.jobs.retrieve(job.id)).toEqual(job);
  });

  it('take what is automatic, old or nothing at all', async () => {
    const defaults = { n_epochs: 3, batch_size: 4, learning_rate_multiplier: 1 };
    const automatic = { n_epochs: 'auto', batch_size: 'auto', learning_rate_multiplier: 'auto' };
    const { id, hyperparameters } = await world.submit({ hyperparameters: automatic, suffix: undefined });
    expect(hyperparameters).toEqual(defaults);
    expect(await api.call('GET', `/api/v1/jobs/${id}`, 200)).toMatchObject({ adapter: 'tiny-ft' });
    const old = await world.submit({ hyperparameters: { n_epochs: 1 } });
    expect(old.method).toEqual({
      type: 'supervised',
      supervised: { hyperparameters: { ...defaults, n_epochs: 1 } },
    });
    // An answer sent again means the same job.
    const again = await world.submit({
      method: old.method,
      qlora: old.qlora,
      seed: old.seed,
      metadata: old.metadata,
    });
    expect(again.qlora).toEqual(old.qlora);
  });

  it('train on preferences', async () => {
    const text = (content: string) => [{ role: 'assistant', content }];
    const rows = Array.from({ length: 8 }, (_, i) => ({
      input: { messages: [{ role: 'user', content: `hello ${i}` }] },
      ...{ preferred_output: text('aye'), non_preferred_output: text('no') },
    }));
    const { id } = await world.upload(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const hyperparameters = { beta: 0.2, n_epochs: 1 };
    const method = { type: 'dpo', dpo: { hyperparameters } };
    const job = await world.submit({ training_file: id, suffix: 'polite', method });
    expect(job.method).toMatchObject({ type: 'dpo', dpo: { hyperparameters } });
    expect(job.qlora.objective).toEqual({ type: 'dpo', beta: 0.2, labelSmoothing: 0 });
    const orpo = await world.submit({
      ...{ training_file: id, suffix: 'polite', qlora: { ...short, objective: { type: 'orpo' } } },
    });
    expect(orpo.method).toBeNull();
    expect(await refused(world.submit({ method }))).toMatchObject({ status: 422, param: 'qlora.objective' });
  });

  it.each<[Record<string, unknown>, number, string, string]>([
    [{ model: 'gpt-none' }, 404, 'model_not_found', 'model'],
    [{ training_file: 'file-none' }, 404, 'not_found', 'training_file'],
    [{ training_file: `data_${'a'.repeat(24)}` }, 404, 'not_found', 'training_file'],
    [{ validation_file: 'file-none' }, 404, 'not_found', 'validation_file'],
    [{ validation_file: `data_${'a'.repeat(24)}` }, 404, 'not_found', 'validation_file'],
    [{ integrations: [{ type: 'wandb' }] }, 400, 'validation_failed', 'integrations.0'],
    [{ method: { type: 'reinforcement' } }, 400, 'validation_failed', 'method.type'],
    [{ suffix: '!?' }, 400, 'validation_failed', 'suffix'],
    [{ suffix: 's'.repeat(65) }, 400, 'validation_failed', 'suffix'],
    [{ nothing: 1 }, 400, 'validation_failed', '(root)'],
    [{ metadata: { a: 'b'.repeat(513) } }, 400, 'validation_failed', 'metadata.a'],
    [{ metadata: { a: 'b\0' } }, 400, 'validation_failed', 'metadata.a'],
    [{ qlora: { lora: { rank: 0 } } }, 400, 'validation_failed', 'qlora.lora.rank'],
    [{ qlora: { lora: { ranks: 8 } } }, 400, 'validation_failed', 'qlora.lora'],
    [{ qlora: { training: 3 }, seed: 1 }, 400, 'validation_failed', 'qlora.training'],
    [
      { qlora: { training: { epochs: 2 } }, hyperparameters: { n_epochs: 3 } },
      400,
      'validation_failed',
      'n_epochs',
    ],
    [
      { method: { type: 'supervised' }, hyperparameters: { n_epochs: 3 } },
      400,
      'validation_failed',
      'hyperparameters',
    ],
    [
      { hyperparameters: { learning_rate_multiplier: 9999 } },
      400,
      'validation_failed',
      'qlora.optimizer.learningRate',
    ],
    [
      { qlora: { ...short, lora: { targets: ['none_proj'] } } },
      422,
      'recipe_invalid',
      'qlora.lora.targets.0',
    ],
  ])('are refused with %p', async (overrides, status, code, param) => {
    const refusal = await refused(world.submit(overrides));
    expect(refusal).toMatchObject({ status, code, param, type: 'invalid_request_error' });
    expect(refusal.message).toMatch(/\w/);
  });

  it('are listed by pages, and by what is noted on them', async () => {
    const added = [];
    for (const run of ['a', 'b', 'a'])
      added.push((await world.submit({ metadata: { list: 'yes', run } })).id);
    const listed = async (metadata?: Record<string, string>) => {
      const ids: string[] = [];
      for await (const { id } of client.fineTuning.jobs.list({ limit: 2, metadata })) ids.push(id);
      return ids;
    };
    expect((await listed()).slice(0, 3)).toEqual([...added].reverse());
    expect(await listed({ list: 'yes', run: 'a' })).toEqual([added[2], added[0]]);
    expect(await listed({ list: 'no' })).toEqual([]);
    const refusal = await refused(client.fineTuning.jobs.list({ metadata: { [`${'k'.repeat(65)}`]: '' } }));
    expect(refusal).toMatchObject({ status: 400, code: 'validation_failed' });
  });

  it('are paused, resumed and cancelled, each when it goes', async () => {
    const { id } = await world.submit();
    const { jobs } = client.fineTuning;
    expect(await jobs.pause(id)).toMatchObject({ id, status: 'paused' });
    expect(await refused(jobs.pause(id))).toMatchObject({
      ...{ status: 409, code: 'illegal_transition', name: 'ConflictError' },
      message: expect.stringContaining('resume'),
    });
    expect(await jobs.resume(id)).toMatchObject({ status: 'queued' });
    expect(await jobs.cancel(id)).toMatchObject({ status: 'cancelled', finished_at: expect.any(Number) });
    expect(await refused(jobs.cancel(id))).toMatchObject({ status: 409 });
    for (const action of [() => jobs.retrieve(`job_${'a'.repeat(24)}`), () => jobs.cancel('ftjob-none')])
      expect(await refused(action())).toMatchObject({
        status: 404,
        code: 'not_found',
        name: 'NotFoundError',
      });
  });

  it('fail with a reason', async () => {
    const { id } = await world.submit();
    const error = { code: 'loss_not_finite' as const, message: 'Loss is NaN.', help: 'Lower it.' };
    await api.ports.unitOfWork.run(({ jobs }) => putInState(jobs, id, 'failed', { error }));
    expect(await client.fineTuning.jobs.retrieve(id)).toMatchObject({
      ...{
        status: 'failed',
        error: { code: 'loss_not_finite', message: 'Loss is NaN. Lower it.', param: null },
      },
    });
  });
});

describe('a job that trains', () => {
  const weights = {
    'adapter_model.safetensors': Buffer.from('weights'),
    'adapter_config.json': Buffer.from('{}'),
  };

  it('has events and checkpoints, and in the end a model', async () => {
    const { id } = await world.submit({ suffix: 'sailor' });
    const attempt = await startAttempt(api, await api.call('GET', `/api/v1/jobs/${id}`, 200));
    const metrics = [metric(0, 'eval'), metric(1), metric(2), metric(2, 'eval')];
    await reportMetrics(api.ports, attempt, { metrics, trainedTokens: 640 });
    await keep(api, attempt, 2);

    expect(await client.fineTuning.jobs.retrieve(id)).toMatchObject({
      status: 'running',
      trained_tokens: null,
    });
    const { data } = await client.fineTuning.jobs.checkpoints.list(id);
    expect(data).toEqual([
      {
        ...{
          id: expect.stringMatching(/^ftckpt-.*-2$/),
          object: 'fine_tuning.job.checkpoint',
          step_number: 2,
        },
        ...{ created_at: expect.any(Number), fine_tuning_job_id: id },
        fine_tuned_model_checkpoint: `test/sailor@${id}-step-2`,
        metrics: { step: 2, train_loss: 1, valid_loss: 1, valid_mean_token_accuracy: 0.6 },
      },
    ]);
    expect(await refused(client.models.retrieve(data[0]?.fine_tuned_model_checkpoint ?? ''))).toMatchObject({
      ...{ status: 404, code: 'model_not_found' },
    });

    await api.call('POST', `/api/v1/jobs/${id}/checkpoints/2/promote`, 200);
    const named = data[0]?.fine_tuned_model_checkpoint ?? '';
    expect(await client.models.retrieve(named)).toMatchObject({ id: 'test/sailor@v1' });
    expect((await client.fineTuning.jobs.checkpoints.list(id)).data).toEqual(data);

    const events = [];
    for await (const event of client.fineTuning.jobs.listEvents(id, { limit: 3 })) events.push(event);
    expect(new Set(events.map((event) => event.id)).size).toBe(events.length);
    expect(events.at(-1)).toMatchObject({ type: 'message', message: expect.stringContaining('Submitted') });
    expect(events.filter(({ type }) => type === 'metrics')).toHaveLength(4);
    expect(events.find(({ message }) => message.startsWith('Step 1/10: training loss='))).toMatchObject({
      ...{ object: 'fine_tuning.job.event', level: 'info', type: 'metrics' },
      data: { step: 1, total_steps: 10, train_loss: 1, epochs: 0.1 },
    });
    expect(await refused(client.fineTuning.jobs.listEvents(id, { after: 'ftevent-none' }))).toMatchObject({
      ...{ status: 400, param: 'after' },
    });

    await publish(api, attempt, weights);
    expect(await client.fineTuning.jobs.retrieve(id)).toMatchObject({
      ...{ status: 'succeeded', fine_tuned_model: 'test/sailor@v2', trained_tokens: 5000 },
      finished_at: expect.any(Number),
    });
    const last = await client.fineTuning.jobs.checkpoints.list(id);
    expect(last.data).toMatchObject([
      { fine_tuned_model_checkpoint: 'test/sailor@v2', step_number: 10 },
      { fine_tuned_model_checkpoint: named, step_number: 2 },
    ]);
  });

  it('makes a model with a slash in its name', async () => {
    // Version 1 is the promoted checkpoint.
    const model = { id: 'test/sailor@v2', object: 'model', created: expect.any(Number), owned_by: 'test' };
    expect(await client.models.retrieve('test/sailor@v2')).toEqual(model);
    await api.call('PUT', '/api/v1/adapters/sailor/aliases/prod', 200, { json: { version: 'v2' } });
    for (const path of [
      'test/sailor@v2',
      'test%2Fsailor@v2',
      'sailor%40v2',
      'sailor@latest',
      'sailor',
      'sailor-v2',
      'test/sailor@prod',
    ])
      expect(await api.call('GET', `/v1/models/${path}`, 200)).toEqual(model);
    expect(await client.models.retrieve('tiny')).toEqual({ ...model, id: 'tiny' });
    const ids: string[] = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids.sort()).toEqual(['test/sailor@v1', 'test/sailor@v2', 'tiny']);
    for (const name of [
      'sailor@v3',
      'other/sailor@v1',
      'sailor-v3',
      'sailor@',
      'sailor@v1@v1',
      'gpt',
      'a@b',
      'a/b',
      '%',
      'No@v1',
      'sailor@1x',
    ])
      expect([name, await refused(client.models.retrieve(name))]).toMatchObject([
        name,
        { status: 404, code: 'model_not_found', param: 'model' },
      ]);
    // Training goes on from it, to the next version of its adapter.
    const { id } = await world.submit({ model: 'test/sailor@v2', suffix: undefined });
    expect(await client.fineTuning.jobs.retrieve(id)).toMatchObject({ model: 'test/sailor@v2' });
    expect(await api.call('GET', `/api/v1/jobs/${id}`, 200)).toMatchObject({
      ...{ adapter: 'sailor', initFrom: { adapter: 'sailor', number: 2 } },
    });
  });

  it('deletes a model that no alias stands on', async () => {
    const name = 'test/sailor@v2';
    expect(await refused(client.models.delete(name))).toMatchObject({ status: 409, code: 'in_use' });
    await api.call('DELETE', '/api/v1/adapters/sailor/aliases/prod', 204);
    expect(await client.models.delete(name)).toEqual({ id: name, object: 'model', deleted: true });
    expect(await refused(client.models.retrieve(name))).toMatchObject({ status: 404 });
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['tiny', 'test/sailor@v1']);
    expect(await refused(client.models.delete('tiny'))).toMatchObject({ status: 400, param: 'model' });
  });

  it('knows a base model by where it came from too', async () => {
    const tiny = await api.importTiny('other');
    const base = { ...tiny, id: api.ports.ids.make('baseModel'), name: 'from-hub', source: 'Org/Model-1.5' };
    await api.ports.unitOfWork.run(({ baseModels }) => baseModels.insert(api.teamId, base));
    expect(await client.models.retrieve('Org/Model-1.5')).toMatchObject({ id: 'from-hub' });
    expect(await world.submit({ model: 'Org/Model-1.5', suffix: 'hub' })).toMatchObject({
      model: 'from-hub',
    });
  });
});

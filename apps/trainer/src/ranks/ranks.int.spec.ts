import { type Assignment, type JobMessage, recipeSchema } from '@lowrank/contracts';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { childrenOf, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { execFileSync, type ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Attempt, type OnMessage, startTrainer } from '../test/start-trainer';

const kernels = join(__dirname, '../../../../libs/kernels');
const id = (kind: string, letter: string): string => `${kind}_${letter.repeat(24)}`;
const steps = 4;

/**
 * Real trainers whose GPUs are emulated: the CUDA kernels compute on the processors, and NCCL's functions are those of a library made for the
 * test, which meets the other processes in shared memory.
 */
describe('trainer on several GPUs', () => {
  const children = new Set<ChildProcess>();
  let root: string;
  let given: Omit<Assignment, 'jobId' | 'jobDir'>;

  beforeAll(async () => {
    const built = ['build/liblowrank_emulated.so', 'build/test/cuda_nccl_test_library.so'];
    execFileSync('make', ['-C', kernels, '-s', '-j2', ...built], { stdio: 'ignore' });
    root = await mkdtemp(join(tmpdir(), 'lowrank-ranks-'));
    const blobs = new Blobs(createObjectStore({ s3: null, folder: join(root, 'objects') }));
    const model = join(root, 'model');
    await writeTinyModel(model);
    const data = join(root, 'data.jsonl');
    await writeFile(data, tinyDataset(24));
    const files = (await readdir(model)).map(async (path) => ({
      path,
      ...(await blobs.putFile(join(model, path))),
    }));
    given = {
      ...{ epoch: 1, work: { kind: 'train' }, adapter: 'sums', validationDataset: null, initFrom: null },
      baseModel: {
        ...{ id: id('base', 'a'), name: 'tiny', source: 'tiny', revision: 'a'.repeat(40) },
        files: await Promise.all(files),
      },
      dataset: { id: id('data', 'a'), sha256: (await blobs.putFile(data)).sha256, format: 'chat' },
      recipe: recipeSchema.parse({
        lora: { rank: 4, dropout: 0.1 },
        training: { steps, sequenceLength: 32, rows: 1, accumulation: 3, compute: 'bf16' },
        optimizer: { learningRate: 0.01 },
        evaluation: { fraction: 0.1 },
        checkpoints: { everySteps: 2 },
        samples: { count: 0 },
      }),
      ...{ mirroredStep: 0, cacheDir: join(root, 'cache'), threads: 1, traceparent: null },
    };
  }, 600_000);
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    await rm(root, { recursive: true, force: true });
  });

  /** The job of a letter on so many GPUs; the same letter goes on from its checkpoint. */
  function train(letter: string, gpus: number, onMessage?: OnMessage): Attempt {
    const names = Array.from({ length: gpus }, (_, i) => `GPU-${i}`);
    const env = {
      LOWRANK_KERNELS_LIB: join(kernels, 'build/liblowrank_emulated.so'),
      LOWRANK_NCCL: join(kernels, 'build/test/cuda_nccl_test_library.so'),
      ...{ LOWRANK_RANKS: names.join(), CUDA_VISIBLE_DEVICES: names[0] },
    };
    const assignment = { ...given, jobId: id('job', letter), jobDir: join(root, letter) };
    return startTrainer({ dataDir: root, children, env }, assignment, onMessage);
  }

  /** Steps, losses, norms of gradients, and the hash of the weights. */
  async function outcomeOf({ messages, ended }: Attempt): Promise<unknown[]> {
    const end = await ended;
    const traces = messages.flatMap((message) =>
      message.type === 'metric'
        ? [`${message.metric.kind} ${message.metric.step} ${message.metric.loss} ${message.metric.gradNorm}`]
        : [],
    );
    const last = messages.at(-1);
    if (last?.type !== 'published') throw new Error(`ended with ${end}: ${JSON.stringify(last)}`);
    const weights = last.manifest.files.find(({ path }) => path === 'adapter_model.safetensors');
    return [weights?.sha256, ...traces];
  }

  const afterStep =
    (step: number, then: (child: ChildProcess) => void): OnMessage =>
    (message: JobMessage, child) => {
      if (message.type === 'metric' && message.metric.kind === 'train' && message.metric.step === step)
        then(child);
    };

  it('has the bytes and metrics of one, and leaves no process behind', async () => {
    const alone = await outcomeOf(train('a', 1));
    expect(alone).toHaveLength(1 + steps + 2);
    let ranks: number[] = [];
    const pair = train(
      'b',
      2,
      afterStep(1, async ({ pid }) => (ranks = await childrenOf(pid as number))),
    );
    expect(await outcomeOf(pair)).toEqual(alone);
    expect(ranks.length).toBeGreaterThan(0);
    for (const pid of ranks) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(await readdir(join(root, 'b'))).not.toContain('state-of-ranks');
    // More GPUs than micro-batches of a step: the rest add nothing.
    expect(await outcomeOf(train('c', 4))).toEqual(alone);
  }, 300_000);

  it('stops together, and goes on with any number of GPUs', async () => {
    const whole = await outcomeOf(train('d', 1));
    const stopped = train(
      'e',
      3,
      afterStep(3, (child) => child.send({ type: 'stop', jobId: id('job', 'e'), reason: 'drain' })),
    );
    await stopped.ended;
    expect(stopped.messages.at(-1)).toEqual({ type: 'stopped', reason: 'drain' });
    const resumed = train('e', 2);
    expect((await outcomeOf(resumed))[0]).toBe(whole[0]);
    const plan = resumed.messages.find(({ type }) => type === 'plan');
    expect(plan).toMatchObject({ resumedFromStep: 3 });
  }, 300_000);

  it('fails, so that the job is tried again, when a rank dies', async () => {
    const attempt = train(
      'f',
      2,
      afterStep(2, async ({ pid }) => {
        for (const rank of await childrenOf(pid as number)) {
          const command = await readFile(`/proc/${rank}/cmdline`, 'utf8');
          if (command.includes('ranks/main')) process.kill(rank, 'SIGKILL');
        }
      }),
    );
    expect(await attempt.ended).toBe(1);
    expect(attempt.messages.at(-1)).toEqual({
      ...{ type: 'failed', code: 'internal', retryable: true },
      message: 'rank 1 of the trainer: ended with SIGKILL',
    });
  }, 300_000);

  it('says why a rank cannot begin', async () => {
    const attempt = startTrainer(
      {
        ...{ dataDir: root, children },
        env: {
          LOWRANK_KERNELS_LIB: join(kernels, 'build/liblowrank_kernels.so'),
          LOWRANK_RANKS: 'GPU-0,GPU-1',
        },
      },
      { ...given, jobId: id('job', 'g'), jobDir: join(root, 'g') },
    );
    expect(await attempt.ended).toBe(1);
    expect(attempt.messages.at(-1)).toMatchObject({
      type: 'failed',
      message: expect.stringContaining('processors'),
    });
  }, 120_000);
});

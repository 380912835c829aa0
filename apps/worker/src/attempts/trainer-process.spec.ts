import { type FromTrainer } from '@lowrank/contracts';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTrainer, trainerEnvironment, type TrainerProcess } from './trainer-process';

describe('a trainer process', () => {
  const jobId = `job_${'a'.repeat(24)}`;
  let folder: string;
  const running: TrainerProcess[] = [];
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'lowrank-worker-'))));
  afterAll(async () => {
    for (const trainer of running) trainer.kill();
    await Promise.all(running.map(({ exit }) => exit));
    await rm(folder, { recursive: true });
  });

  const start = async (script: string, env: NodeJS.ProcessEnv = process.env) => {
    const entry = join(folder, `${running.length}.js`);
    await writeFile(entry, script);
    const messages: FromTrainer[] = [];
    const unreadable: string[] = [];
    const output: string[] = [];
    const trainer = startTrainer(entry, trainerEnvironment(env), {
      onMessage: (message) => messages.push(message),
      onUnreadable: (problem) => unreadable.push(problem),
      onOutput: (line) => output.push(line),
    });
    running.push(trainer);
    return { trainer, messages, unreadable, output };
  };

  it('delivers every message before its exit', async () => {
    const { trainer, messages } = await start(`
      const send = (message, sent) => process.send({ type: 'job', jobId: '${jobId}', message }, sent);
      for (let i = 0; i < 500; i++) send({ type: 'message', level: 'info', message: String(i) });
      send({ type: 'stopped', reason: 'drain' }, () => process.exit(0));
    `);
    expect(await trainer.exit).toMatchObject({ code: 0, signal: null });
    expect(messages).toHaveLength(501);
    expect(messages.at(-1)).toEqual({ type: 'job', jobId, message: { type: 'stopped', reason: 'drain' } });
  });

  it('keeps apart what is no message of a trainer', async () => {
    const { trainer, messages, unreadable } = await start(`
      const aboutJob = (message) => ({ type: 'job', jobId: '${jobId}', message });
      const dreaming = aboutJob({ type: 'phase', phase: 'dreaming' });
      for (const message of ['hello', 7, null, dreaming, aboutJob({ type: 'metric' })]) process.send(message);
      process.send({ type: 'heartbeat' }, () => process.exit(0));
    `);
    await trainer.exit;
    expect(messages).toEqual([{ type: 'heartbeat' }]);
    expect(unreadable).toHaveLength(5);
    expect(unreadable[3]).toContain('dreaming');
  });

  it('keeps the last lines of stderr', async () => {
    const { trainer, output } = await start(`
      console.log('said');
      for (let i = 0; i < 100; i++) console.error('line ' + i);
      process.exitCode = 5;
      process.disconnect();
    `);
    const exit = await trainer.exit;
    expect(exit).toMatchObject({ code: 5, signal: null });
    expect(exit.stderr).toHaveLength(20);
    expect(exit.stderr.at(-1)).toBe('line 99');
    expect(output).toHaveLength(101);
  });

  it('ends by a signal, and sending to it afterwards does nothing', async () => {
    const { trainer } = await start(`setInterval(() => {}, 1000)`);
    trainer.kill();
    expect(await trainer.exit).toMatchObject({ code: null, signal: 'SIGKILL' });
    trainer.send({ type: 'stop', jobId: `job_${'a'.repeat(24)}`, reason: 'cancel' });
    trainer.kill();
  });

  it('gets neither database nor queue', async () => {
    const { trainer, output } = await start(
      `console.log(JSON.stringify(process.env)); process.disconnect()`,
      { ...process.env, DATABASE_URL: 'postgres://secret', REDIS_URL: 'redis://secret', S3_BUCKET: 'b' },
    );
    await trainer.exit;
    expect(output.join()).not.toContain('secret');
    expect(JSON.parse(output[0] ?? '')).toMatchObject({ S3_BUCKET: 'b', PATH: process.env.PATH });
  });

  it('ends with a reason when there is no such program', async () => {
    const trainer = startTrainer(join(folder, 'none.js'), trainerEnvironment(process.env), {
      onMessage: () => undefined,
      onUnreadable: () => undefined,
      onOutput: () => undefined,
    });
    const exit = await trainer.exit;
    expect(exit.code).toBe(1);
    expect(exit.stderr.join('\n')).toContain('Cannot find module');
  });
});

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SupervisedChild } from './child';

describe('SupervisedChild', () => {
  let folder: string;
  let child: SupervisedChild | undefined;
  beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'lowrank-cli-'))));
  afterEach(async () => {
    await child?.stop();
    await rm(folder, { recursive: true });
  });

  const make = async (script: string, graceMs = 5000) => {
    const entry = join(folder, 'main.js');
    await writeFile(entry, script);
    const crashes: { how: string; tail: string[] }[] = [];
    const lines: string[] = [];
    child = new SupervisedChild({
      name: 'api',
      entry,
      env: { PATH: process.env.PATH },
      logFile: join(folder, 'logs', 'api.log'),
      graceMs,
      onLine: (line) => lines.push(line),
      onCrash: (how, tail) => crashes.push({ how, tail: [...tail] }),
    });
    await child.start();
    return { crashes, lines, child };
  };
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
  };

  it('starts a crashed process again and tells its last lines', async () => {
    const { crashes, lines } = await make('console.error("broken pipe of dreams"); process.exit(3)');
    await until(() => crashes.length === 2);
    expect(crashes[0]).toEqual({ how: 'api ended with exit code 3', tail: ['broken pipe of dreams'] });
    expect(lines.length).toBeGreaterThanOrEqual(2);
    expect(await readFile(join(folder, 'logs', 'api.log'), 'utf8')).toContain('broken pipe of dreams');
  });

  it('stops a process by SIGTERM and does not start it again', async () => {
    const {
      crashes,
      lines,
      child: api,
    } = await make(
      'process.on("SIGTERM", () => { console.log("bye"); process.exit(0) }); setInterval(() => {}, 1000); console.log("up")',
    );
    await until(() => lines.includes('up'));
    await api.stop();
    expect(crashes).toEqual([]);
    expect(() => process.kill(api.pid ?? 0, 0)).toThrow(/ESRCH/);
  });

  it('kills a process that does not stop in time', async () => {
    const { lines, child: api } = await make(
      'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); console.log("up")',
      200,
    );
    await until(() => lines.includes('up'));
    await api.stop();
    expect(() => process.kill(api.pid ?? 0, 0)).toThrow(/ESRCH/);
  });

  it('is told apart from this process group, so that Ctrl-C does not reach it', async () => {
    const { lines, child: api } = await make('setInterval(() => {}, 1000); console.log("up")');
    await until(() => lines.includes('up'));
    // Only the leader of a process group gives it its number.
    expect(process.kill(-(api.pid ?? 0), 0)).toBe(true);
  });
});

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { usableCores } from './cores';

describe('usableCores', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'lowrank-cores-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const machine = (online: string, places: [cpu: number, pkg: number, core: number][]) => {
    writeFileSync(join(folder, 'online'), `${online}\n`);
    for (const [cpu, pkg, core] of places) {
      const topology = join(folder, `cpu${cpu}/topology`);
      mkdirSync(topology, { recursive: true });
      writeFileSync(join(topology, 'physical_package_id'), `${pkg}\n`);
      writeFileSync(join(topology, 'core_id'), `${core}\n`);
    }
  };

  it('counts hardware threads of one core once', () => {
    machine('0-3', [
      [0, 0, 0],
      [1, 0, 1],
      [2, 0, 0],
      [3, 0, 1],
    ]);
    expect(usableCores(folder, 4)).toBe(2);
  });

  it('tells packages apart', () => {
    machine('0,2', [
      [0, 0, 0],
      [2, 1, 0],
    ]);
    expect(usableCores(folder, 2)).toBe(2);
  });

  it('is never more than a container may use', () => {
    machine('0-1', [
      [0, 0, 0],
      [1, 0, 1],
    ]);
    expect(usableCores(folder, 1)).toBe(1);
  });

  it('falls back to hardware threads where nothing is told', () => {
    expect(usableCores(join(folder, 'missing'), 6)).toBe(6);
  });
});

import { readdir, readFile } from 'node:fs/promises';

/** Process ids of a process's children, from /proc. */
export async function childrenOf(pid: number): Promise<number[]> {
  const children: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const line = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => null);
    if (line === null) continue;
    // The name may hold anything, so fields are counted from its closing bracket: state, then the parent.
    const [state, parent] = line.slice(line.lastIndexOf(')') + 2).split(' ');
    if (state !== 'Z' && parent === String(pid)) children.push(Number(name));
  }
  return children;
}

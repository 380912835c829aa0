import { type Group, type Kernels } from '@lowrank/kernels';
import { type JoinedRanks, publicError, type Ranks, type RankStart, shareOf } from '@lowrank/training';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RankProcess } from './rank-process';

/**
 * The ranks on GPUs that are named as CUDA_VISIBLE_DEVICES names them; the first is this process' own. None: there is one GPU, or none is named.
 * `folder`: for states on their way.
 */
export function ranksOn(gpus: string | undefined, folder: string): Ranks | undefined {
  const others = gpus?.split(',').slice(1) ?? [];
  if (others.length === 0) return undefined;
  return { join: (kernels, start) => joinRanks(others, folder, kernels, start) };
}

async function joinRanks(
  others: string[],
  folder: string,
  kernels: Kernels,
  start: RankStart,
): Promise<JoinedRanks> {
  const ranks = others.length + 1;
  const failure = new AbortController();
  const processes = others.map((gpu, i) => new RankProcess(i + 1, gpu, (error) => failure.abort(error)));
  // The others are no more, or give up what they are at: a group is left by all, or not at all.
  let isBroken = false;
  const kill = () => Promise.all(processes.map((one) => one.kill()));
  try {
    const group = await joinGroup(kernels, processes, start, ranks);
    return {
      group,
      failure: failure.signal,
      async importState(state) {
        const file = join(folder, 'state-of-ranks');
        await mkdir(folder, { recursive: true });
        await writeFile(file, state);
        try {
          await Promise.all(processes.map((one) => one.tell({ type: 'state', file })));
        } finally {
          await rm(file, { force: true });
        }
      },
      async step(work) {
        const losses = await Promise.all(
          processes.map((one, i) => one.tell({ type: 'step', work: shareOf(work, i + 1, ranks) })),
        );
        return losses.flat();
      },
      stop() {
        isBroken = true;
        for (const one of processes) one.stop();
      },
      async close() {
        if (isBroken || failure.signal.aborted) return void (await kill());
        const left = processes.map((one) => one.leave());
        await Promise.all(left.map(({ told }) => told));
        group.leave();
        await Promise.all(left.map(({ ended }) => ended));
      },
    };
  } catch (error) {
    await kill();
    throw publicError(error);
  }
}

/** Nothing but the end of this process ends its wait for others that never come, so a failure of theirs does not wait for it. */
function joinGroup(
  kernels: Kernels,
  processes: RankProcess[],
  start: RankStart,
  ranks: number,
): Promise<Group> {
  const groupId = kernels.groupId();
  const starts = processes.map((one, i) => one.tell({ type: 'start', start, groupId, rank: i + 1, ranks }));
  const own = kernels.joinGroup(groupId, 0, ranks);
  return Promise.all([own, ...starts]).then(([group]) => group);
}

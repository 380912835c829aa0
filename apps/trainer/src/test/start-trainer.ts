import { fromTrainerSchema, type Assignment, type JobMessage } from '@lowrank/contracts';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export interface Attempt {
  messages: JobMessage[];
  /** By the id of the job; `messages` are those of the first. */
  all: Map<string, JobMessage[]>;
  child: ChildProcess;
  /** Exit code, or the signal that ended it. */
  ended: Promise<number | string | null>;
}

export type OnMessage = (message: JobMessage, child: ChildProcess, jobId: string) => void;

/** Starts a real trainer process and gives it one assignment, or several. `children`: those that have not ended; `env`: what it has besides. */
export function startTrainer(
  { dataDir, children, env }: { dataDir: string; children: Set<ChildProcess>; env?: NodeJS.ProcessEnv },
  given: Assignment | [Assignment, ...Assignment[]],
  onMessage: OnMessage = () => undefined,
): Attempt {
  const assignments = [given].flat() as [Assignment, ...Assignment[]];
  const child = fork(join(__dirname, '../main.ts'), [], {
    env: { ...process.env, LOWRANK_DATA: dataDir, ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  children.add(child);
  const all = new Map(assignments.map(({ jobId }): [string, JobMessage[]] => [jobId, []]));
  child.on('message', (raw) => {
    const parsed = fromTrainerSchema.parse(raw);
    if (parsed.type === 'heartbeat') return;
    all.get(parsed.jobId)?.push(parsed.message);
    onMessage(parsed.message, child, parsed.jobId);
  });
  const ended = once(child, 'exit').then(([code, signal]) => {
    children.delete(child);
    return (code ?? signal) as number | string | null;
  });
  child.send({ type: 'assign', assignments });
  return { messages: all.get(assignments[0].jobId) as JobMessage[], all, child, ended };
}

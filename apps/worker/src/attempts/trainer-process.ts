import { type FromTrainer, fromTrainerSchema, type ToTrainer } from '@lowrank/contracts';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pause } from '../retry';

/** How a trainer process ended. */
export interface TrainerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** While it ran, the system killed a process for its memory. */
  systemRanOut: boolean;
  /** Last lines it wrote to stderr. */
  stderr: string[];
}

export interface TrainerProcess {
  readonly pid: number | undefined;
  /** Resolves after the last message has been delivered; never rejects. */
  readonly exit: Promise<TrainerExit>;
  /** Does nothing when the process is gone. */
  send(message: ToTrainer): void;
  kill(): void;
}

export interface TrainerListeners {
  onMessage(message: FromTrainer): void;
  /** A message that is none of contracts' fromTrainerSchema. */
  onUnreadable(problem: string): void;
  /** A line that it wrote to its standard output (`info`) or error (`warn`). */
  onOutput(line: string, level: 'info' | 'warn'): void;
}

const stderrLines = 20;

/** Processes that the system has killed for want of memory, be it a control group's or all of it; 0 where it does not say. */
function memoryKills(): number {
  try {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync('/proc/vmstat', 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/**
 * Variables that a trainer gets: to find programs, files, the driver, the object store; what to compute on; where traces go. Neither database
 * nor queue (ADR 4).
 */
const passedOn = [
  ...['LD_LIBRARY_PATH', 'LOWRANK_DEVICE', 'LOWRANK_OFFLOAD', 'CUDA_VISIBLE_DEVICES', 'LOWRANK_RANKS'],
  ...['LOWRANK_CUBLASLT', 'LOWRANK_NCCL', 'LOWRANK_CUDA_GRAPHS'],
  ...['PATH', 'HOME', 'TMPDIR', 'LANG', 'TZ', 'NODE_ENV', 'NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS'],
  ...['LOWRANK_DATA', 'LOWRANK_LOG_LEVEL', 'LOWRANK_MIRROR_SECONDS', 'LOWRANK_KERNELS_LIB'],
  ...[
    'S3_ENDPOINT',
    'S3_REGION',
    'S3_BUCKET',
    'S3_ACCESS_KEY_ID',
    'S3_SECRET_ACCESS_KEY',
    'S3_FORCE_PATH_STYLE',
  ],
];

const isPassedOn = (name: string): boolean => passedOn.includes(name) || name.startsWith('OTEL_');

/** The part of an environment that a trainer gets. */
export const trainerEnvironment = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name, value]) => value !== undefined && isPassedOn(name)));

/** Forks a trainer: no shell, a process group of its own, so that Ctrl-C reaches the worker alone, which then drains. */
export function startTrainer(
  entry: string,
  env: NodeJS.ProcessEnv,
  { onMessage, onUnreadable, onOutput }: TrainerListeners,
): TrainerProcess {
  const killsBefore = memoryKills();
  const child = fork(entry, [], {
    env,
    execArgv: ['--enable-source-maps'],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true,
  });
  const stderr: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface({ input: stream }).on('line', (line) => {
      onOutput(line, stream === child.stderr ? 'warn' : 'info');
      if (stream !== child.stderr) return;
      stderr.push(line.slice(0, 500));
      if (stderr.length > stderrLines) stderr.shift();
    });
  }
  child.on('message', (raw) => {
    const parsed = fromTrainerSchema.safeParse(raw);
    if (parsed.success) onMessage(parsed.data);
    else onUnreadable(`${JSON.stringify(raw)?.slice(0, 200)}: ${parsed.error.issues[0]?.message}`);
  });

  const ended = new Promise<Pick<TrainerExit, 'code' | 'signal'>>((resolve) => {
    child.on('exit', (code, signal) => resolve({ code, signal }));
    child.on('error', (error) => {
      stderr.push(error.message);
      // Also emitted when a message cannot be sent; only a process that never started has no pid.
      if (child.pid === undefined) resolve({ code: null, signal: null });
    });
  });
  // Messages and output still in the pipes arrive after `exit`. A grandchild could hold the pipes, so there is a limit.
  const drained = Promise.all([once(child, 'close'), once(child, 'disconnect')]).catch(() => undefined);
  const exit = ended.then(async (end) => {
    const waited = new AbortController();
    await Promise.race([drained, pause(2000, waited.signal)]);
    waited.abort();
    return { ...end, systemRanOut: memoryKills() > killsBefore, stderr };
  });

  return {
    pid: child.pid,
    exit,
    send: (message) => {
      if (child.connected) child.send(message, () => undefined);
    },
    kill: () => {
      child.kill('SIGKILL');
    },
  };
}

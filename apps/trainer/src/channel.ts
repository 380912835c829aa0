import { fromTrainerSchema, toTrainerSchema, type FromTrainer, type ToTrainer } from '@lowrank/contracts';

const HEARTBEAT_MS = 2000;

/** The trainer's end of the IPC channel to its worker. */
export interface Channel {
  /** Sends in order; nothing happens once the worker is gone. */
  send(message: FromTrainer): void;
  /** Resolves when everything sent has left this process. */
  flush(): Promise<void>;
}

export interface ChannelListeners {
  onMessage(message: ToTrainer): void;
  /** The worker is gone, or sent something unreadable: nobody speaks for this attempt any more. */
  onLost(problem: string): void;
}

/** Opens the channel and beats on it. The beat is a timer of this process, which native calls do not hold up. */
export function openChannel({ onMessage, onLost }: ChannelListeners): Channel {
  let last: Promise<void> = Promise.resolve();
  const send = (message: FromTrainer): void => {
    const parsed = fromTrainerSchema.parse(message);
    if (!process.connected) return;
    last = new Promise((resolve) => process.send?.(parsed, undefined, undefined, () => resolve()));
  };
  process.on('message', (raw) => {
    const parsed = toTrainerSchema.safeParse(raw);
    if (parsed.success) onMessage(parsed.data);
    else onLost(`the worker sent an unreadable message: ${parsed.error.issues[0]?.message}`);
  });
  process.once('disconnect', () => onLost('the worker is gone'));
  setInterval(() => send({ type: 'heartbeat' }), HEARTBEAT_MS).unref();
  return { send, flush: () => last };
}

// Another rank of a trainer: a process with a GPU of its own, which has the trainer's adapter and computes its share of every step. The trainer
// says what over IPC (messages.ts); this process ends with it.
import { type Adapter, type Base } from '@lowrank/kernels';
import { computeStep, openDevice, type Place } from '@lowrank/training';
import { readFile } from 'node:fs/promises';
import { failureOf } from '../attempt';
import { type FromRank, type Task, type ToRank } from './messages';

const stopped = new AbortController();
let place: Place | null = null;

const send = (message: FromRank): Promise<void> =>
  new Promise((resolve) => {
    if (process.send === undefined || !process.connected) return resolve();
    process.send(message, undefined, undefined, () => resolve());
  });

async function open({ start, groupId, rank, ranks }: Task & { type: 'start' }): Promise<Place> {
  const { file, threads, compute, spec, recipe } = start;
  const kernels = openDevice({ threads, compute });
  const base: Base = await kernels.openBase(file);
  const adapter: Adapter = base.createAdapter(spec);
  return { base, adapter, recipe, group: await kernels.joinGroup(groupId, rank, ranks) };
}

function opened(): Place {
  if (place === null) throw new Error('a rank was given work before its start');
  return place;
}

async function handle(message: Task): Promise<void> {
  switch (message.type) {
    case 'start':
      place = await open(message);
      break;
    case 'state':
      opened().adapter.importState(await readFile(message.file));
      break;
    case 'step': {
      const { work } = message;
      await computeStep(opened(), work, (losses) => void send({ type: 'losses', losses }), stopped.signal);
      break;
    }
  }
  await send({ type: 'done' });
}

if (process.send === undefined) {
  process.stderr.write('This is started by a trainer, not by hand.\n');
  process.exit(2);
}
let turn = Promise.resolve();
process.on('message', (message: ToRank) => {
  if (message.type === 'stop') return stopped.abort();
  if (message.type === 'leave') {
    place?.group?.leave();
    process.exit();
  }
  turn = turn
    .then(() => handle(message))
    .catch(async (error) => {
      const { code, message: text } = failureOf(error);
      await send({ type: 'failed', code, message: text });
      process.exit(1);
    });
});
process.once('disconnect', () => process.exit());

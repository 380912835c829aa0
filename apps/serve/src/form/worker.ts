// Entry of the thread that thread.ts starts: follows forms over one vocabulary for as long as it lives.
import { LowrankError } from '@lowrank/contracts';
import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { Forms, type FormStep } from './forms';
import { type FormReply, type FormRequest, type FormVocabulary } from './thread';

const { bytes, starts, stopIds } = workerData as FormVocabulary;
const forms = new Forms(
  starts.length - 1,
  (id) => {
    const [begin, end] = [starts[id] as number, starts[id + 1] as number];
    return begin === end ? null : bytes.subarray(begin, end);
  },
  stopIds,
);
const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** undefined: nobody waits for it. */
function work(request: FormRequest): FormStep | null | undefined {
  const { form } = request;
  if (request.task === 'close') {
    forms.close(form);
    return undefined;
  }
  if (request.task === 'accept') return forms.accept(form, request.token);
  const { schema, path, begun } = request;
  return forms.open(form, schema, path, hashOf(JSON.stringify(schema)), begun);
}

parentPort?.on('message', (request: FormRequest) => {
  const { form } = request;
  let reply: FormReply;
  try {
    const step = work(request);
    if (step === undefined) return;
    reply = { form, ok: true, step };
  } catch (error) {
    const { message } = error as Error;
    const known = error instanceof LowrankError ? error : null;
    reply = { form, ok: false, code: known?.code ?? null, message, ...(known && { details: known.details }) };
  }
  parentPort?.postMessage(reply);
});

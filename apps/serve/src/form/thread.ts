import { errorCodeSchema, type ErrorDetail, LowrankError } from '@lowrank/contracts';
import { type ChatTokenizer } from '@lowrank/datasets';
import { extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type Form } from '../generation/generate';
import { type FormStep } from './forms';

/** Tokens of a model: bytes of token t are [starts[t], starts[t + 1]) of `bytes`. */
export interface FormVocabulary {
  bytes: Uint8Array;
  starts: Int32Array;
  stopIds: number[];
}

/** `size`: of the model's logits, which may be more than there are tokens. Error: validation_failed where tokens do not spell their text. */
export function vocabularyOf(tokenizer: ChatTokenizer, size: number): FormVocabulary {
  const spelled = Array.from({ length: size }, (_, id) => tokenizer.bytesOf(id) ?? new Uint8Array());
  if (spelled.every(({ length }) => length === 0))
    throw new LowrankError('validation_failed', "This model's tokens do not spell their text.", [
      { path: 'response_format', message: 'is not had of this model: its tokenizer is of another kind' },
    ]);
  const starts = new Int32Array(size + 1);
  spelled.forEach(({ length }, id) => (starts[id + 1] = (starts[id] as number) + length));
  return { bytes: Buffer.concat(spelled), starts, stopIds: [...tokenizer.stopIds] };
}

export type FormSchema = Record<string, unknown>;

/** `form` is a number that the asking side chose. */
export type FormRequest =
  | { task: 'open'; form: number; schema: FormSchema; path: string; begun: Uint8Array }
  | { task: 'accept'; form: number; token: number }
  | { task: 'close'; form: number };

/** Of `open` and `accept`, in the order of the requests of a form. `step` null: no value begins as it should. */
export type FormReply =
  | { form: number; ok: true; step: FormStep | null }
  | { form: number; ok: false; code: string | null; message: string; details?: ErrorDetail[] };

/** Enough for a vocabulary of 256,000 tokens and the forms that are kept; what needs more ends there, and not the server. */
const heapMegabytes = 1024;
/** Longest that the next tokens are waited for. */
const patienceMs = 20_000;

interface Waiting {
  resolve(step: FormStep | null): void;
  reject(error: Error): void;
}

/** A thread that finds out which tokens of one model's vocabulary a form allows. */
export class FormThread {
  private worker: Worker | null = null;
  private opened = 0;
  private readonly waiting = new Map<number, Waiting>();

  constructor(private readonly vocabulary: () => FormVocabulary) {}

  /**
   * An answer that is to be JSON of a schema. `path`: where the schema stands in the request. Errors: validation_failed, naming what of
   * the schema is not supported. To be closed.
   */
  async open(schema: FormSchema, path: string): Promise<ThreadForm> {
    const form = await this.openAt(schema, path, new Uint8Array());
    if (form === null) throw new Error('every value begins with nothing');
    return form;
  }

  /** The same of a value of which there is something already; null: no value of the schema begins so. */
  async openAt(schema: FormSchema, path: string, begun: Uint8Array): Promise<ThreadForm | null> {
    const worker = (this.worker ??= this.start());
    const form = (this.opened += 1);
    const ask = (request: FormRequest): Promise<FormStep | null> => this.ask(worker, request);
    const first = await ask({ task: 'open', form, schema, path, begun });
    if (first === null) return null;
    return new ThreadForm(first, ask, form, () => {
      worker.postMessage({ task: 'close', form } satisfies FormRequest);
    });
  }

  close(): void {
    void this.worker?.terminate();
    this.worker = null;
  }

  private ask(worker: Worker, request: FormRequest): Promise<FormStep | null> {
    return new Promise<FormStep | null>((resolve, reject) => {
      const timer = setTimeout(() => this.lose(worker, new Error('a form took too long')), patienceMs);
      const done = (settle: () => void) => {
        clearTimeout(timer);
        this.waiting.delete(request.form);
        settle();
      };
      this.waiting.set(request.form, {
        resolve: (step) => done(() => resolve(step)),
        reject: (error) => done(() => reject(error)),
      });
      worker.postMessage(request);
    });
  }

  private start(): Worker {
    const worker = new Worker(join(__dirname, `worker${extname(__filename)}`), {
      workerData: this.vocabulary(),
      env: { NODE_OPTIONS: process.env['NODE_OPTIONS'] },
      resourceLimits: { maxOldGenerationSizeMb: heapMegabytes },
    });
    // It ends with the process: nobody waits for it alone.
    worker.unref();
    worker.on('message', (reply: FormReply) => {
      const waiting = this.waiting.get(reply.form);
      if (reply.ok) waiting?.resolve(reply.step);
      else waiting?.reject(toError(reply));
    });
    worker.on('error', (error) => this.lose(worker, error));
    worker.on('exit', () => this.lose(worker, new Error('the thread of forms ended')));
    return worker;
  }

  /** Those who wait for this thread fail; the next starts another. */
  private lose(worker: Worker, error: Error): void {
    if (this.worker !== worker) return;
    this.worker = null;
    void worker.terminate();
    for (const waiting of [...this.waiting.values()]) waiting.reject(error);
  }
}

/** One answer's form, followed in the thread. */
class ThreadForm implements Form {
  private step: Promise<FormStep | null>;

  constructor(
    first: FormStep,
    private readonly ask: (request: FormRequest) => Promise<FormStep | null>,
    private readonly form: number,
    readonly close: () => void,
  ) {
    this.step = Promise.resolve(first);
  }

  async allowed(): Promise<Uint32Array | undefined> {
    return (await this.step)?.allowed;
  }

  accept(token: number): void {
    this.step = this.ask({ task: 'accept', form: this.form, token });
    // Who asks next is told.
    this.step.catch(() => undefined);
  }

  async isWhole(): Promise<boolean> {
    return (await this.step)?.whole ?? false;
  }
}
export type { ThreadForm };

function toError(reply: Extract<FormReply, { ok: false }>): Error {
  const code = errorCodeSchema.safeParse(reply.code);
  return code.success ? new LowrankError(code.data, reply.message, reply.details) : new Error(reply.message);
}

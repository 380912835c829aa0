import { KERNEL_STATUS, KernelError, type KernelStatus } from './errors';
import { loadNative, type Call, type Destructor, type Native, type Pointer } from './native';

/** Throws KernelError('cancelled') as the library would, for a signal that was aborted before the call began. */
function refuseAborted(signal: AbortSignal | undefined, call: Call): void {
  if (signal?.aborted) throw new KernelError('cancelled', 'cancelled by the caller', call);
}

/**
 * Owner of one native handle. It is destroyed when it has been closed, no call uses it any more, and every handle made from it
 * is gone: the library asks for that order.
 */
export class Handle {
  private closed = false;
  private destroyed = false;
  private uses = 0;
  private calls = 0;

  constructor(
    readonly native: Native,
    private readonly pointer: Pointer,
    private readonly destructor: Destructor,
    private readonly what: string,
    private readonly parents: readonly Handle[],
  ) {
    for (const parent of parents) parent.uses += 1;
  }

  /** The address for a call; refuses when closed. */
  open(call: Call): Pointer {
    if (this.closed) throw new KernelError('invalid_argument', `the ${this.what} is closed`, call);
    return this.pointer;
  }

  /** The address for a call that must not overlap with another one on this handle. */
  idle(call: Call): Pointer {
    if (this.calls > 0) {
      throw new KernelError(
        'invalid_argument',
        `the ${this.what} is in use by a call that has not ended: await it first`,
        call,
      );
    }
    return this.open(call);
  }

  hold(): void {
    this.uses += 1;
    this.calls += 1;
  }

  release(): void {
    this.uses -= 1;
    this.calls -= 1;
    this.destroyIfUnused();
  }

  close(): void {
    this.closed = true;
    this.destroyIfUnused();
  }

  private destroyIfUnused(): void {
    if (!this.closed || this.uses > 0 || this.destroyed) return;
    this.destroyed = true;
    this.native.destroy(this.destructor, this.pointer);
    for (const parent of this.parents) {
      parent.uses -= 1;
      parent.destroyIfUnused();
    }
  }
}

interface CallOptions {
  signal?: AbortSignal;
  /** Handles in use until the call has ended. */
  uses: readonly Handle[];
  /** Arguments, given the cancel flag's address. Whatever they refer to lives as long as the call. */
  args: (cancel: Pointer) => unknown[];
  /** A status that is an answer here, not a failure. */
  accept?: KernelStatus;
}

/** A native context with the queue of its calls: the library wants one at a time. */
export class Context {
  readonly handle: Handle;
  private readonly native = loadNative();
  private readonly pointer: Pointer;
  private queue: Promise<unknown> = Promise.resolve();
  private queued = 0;

  constructor(options: { threads: number; backend: number; isa: number; compute: number }) {
    const out: [Pointer | null] = [null];
    const status = this.native.call('lr_context_create', [options, out]);
    if (out[0] === null) throw new KernelError('out_of_memory', '', 'lr_context_create');
    this.pointer = out[0];
    this.handle = new Handle(this.native, this.pointer, 'lr_context_destroy', 'kernel context', []);
    try {
      this.check('lr_context_create', status);
    } catch (error) {
      this.handle.close();
      throw error;
    }
  }

  /** The one place where a native status becomes an error. */
  private check(call: Call, status: number, accept?: KernelStatus): KernelStatus {
    const name = KERNEL_STATUS[status] ?? 'internal';
    if (name === 'ok' || name === accept) return name;
    throw new KernelError(name, this.native.errorOf(this.pointer), call);
  }

  /** A short call on this thread. */
  sync(call: Call, ...args: unknown[]): void {
    this.check(call, this.native.call(call, args));
  }

  /** A short call that computes, and so may not wait for one on another thread. */
  syncTurn(call: Call, ...args: unknown[]): void {
    if (this.queued > 0)
      throw new KernelError('invalid_argument', 'the kernel context is busy: await its calls first', call);
    this.sync(call, ...args);
  }

  /** Makes a handle with a call whose last parameter receives it. */
  create(
    call: Call,
    destructor: Destructor,
    what: string,
    parents: readonly Handle[],
    ...args: unknown[]
  ): Handle {
    const out: [Pointer | null] = [null];
    this.sync(call, ...args, out);
    return this.adopt(out[0] as Pointer, destructor, what, parents);
  }

  /** The owner of a native handle that a call has made. */
  adopt(pointer: Pointer, destructor: Destructor, what: string, parents: readonly Handle[]): Handle {
    return new Handle(this.native, pointer, destructor, what, parents);
  }

  /** A long call on another thread, after those queued before it. */
  async run(call: Call, options: CallOptions): Promise<KernelStatus> {
    for (const handle of options.uses) handle.open(call);
    for (const handle of options.uses) handle.hold();
    this.queued += 1;
    const turn = this.queue.then(() => this.runNow(call, options));
    this.queue = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.queued -= 1;
      for (const handle of options.uses) handle.release();
    }
  }

  private async runNow(call: Call, { signal, args, accept }: CallOptions): Promise<KernelStatus> {
    refuseAborted(signal, call);
    const cancel = this.create('lr_cancel_create', 'lr_cancel_destroy', 'cancel flag', []);
    const flag = cancel.open(call);
    const abort = (): void => this.native.setCancel(flag);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const live = args(flag);
      const status = await this.native.callAsync(call, live);
      return this.check(call, status, accept);
    } finally {
      signal?.removeEventListener('abort', abort);
      cancel.close();
    }
  }
}

/** What a call of the kind of lr_base_info says about a handle. */
export function readJson(
  context: Context,
  call: 'lr_base_info' | 'lr_adapter_info',
  handle: Handle,
): unknown {
  // Grown once if the first guess was too small: the library says how much it needs.
  const needed = new BigUint64Array(1);
  const pointer = handle.open(call);
  let json = Buffer.alloc(1 << 16);
  try {
    context.sync(call, pointer, json, json.length, needed);
  } catch (error) {
    if (Number(needed[0]) <= json.length) throw error;
    json = Buffer.alloc(Number(needed[0]));
    context.sync(call, pointer, json, json.length, needed);
  }
  return JSON.parse(json.toString('utf8', 0, Number(needed[0]) - 1));
}

import { LowrankError } from '@lowrank/contracts';

/** The requests that are being answered, so that they can be ended from elsewhere, and waited for. */
export class InFlight {
  private readonly requests = new Map<string, AbortController>();
  private isDraining = false;
  private idle: (() => void) | null = null;

  get draining(): boolean {
    return this.isDraining;
  }

  /** Errors: server_draining; validation_failed for an id that is in use. The signal says that the answer is to end. */
  begin(id: string): AbortSignal {
    if (this.isDraining) throw new LowrankError('server_draining', 'This server is about to leave.');
    if (this.requests.has(id))
      throw new LowrankError('validation_failed', `The request ${id} is being answered already.`);
    const controller = new AbortController();
    this.requests.set(id, controller);
    return controller.signal;
  }

  end(id: string): void {
    this.requests.delete(id);
    if (this.requests.size === 0) this.idle?.();
  }

  /** Ends one whose client has left. False: it is not being answered. */
  leave(id: string): boolean {
    const controller = this.requests.get(id);
    controller?.abort(new LowrankError('conflict', 'The client has left.'));
    return controller !== undefined;
  }

  /** Lets no more begin; resolves when all have ended, those that have not in time being broken off. */
  async drain(limitMs: number): Promise<void> {
    this.isDraining = true;
    if (this.requests.size === 0) return;
    const timer = setTimeout(() => {
      for (const controller of this.requests.values())
        controller.abort(
          new LowrankError('server_draining', 'The server had to leave before the answer was whole.'),
        );
    }, limitMs);
    await new Promise<void>((resolve) => (this.idle = resolve));
    clearTimeout(timer);
  }
}

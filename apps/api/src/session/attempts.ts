import { Inject, Injectable } from '@nestjs/common';
import { type Attempt, guardAttempt, type Ports, TooManyFailures } from '@lowrank/domain';
import { type FastifyReply } from 'fastify';
import { PORTS } from '../dependencies';

/** Keeps passwords from being tried out: guardAttempt, whose refusal gets its header. */
@Injectable()
export class Attempts {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  /** Error: rate_limited, with the header Retry-After, and those of `work`. */
  async guard<T>(who: Attempt, reply: FastifyReply, work: () => Promise<T>): Promise<T> {
    try {
      return await guardAttempt(this.ports, who, work);
    } catch (error) {
      if (error instanceof TooManyFailures)
        void reply.header('retry-after', String(Math.ceil(error.waitMs / 1000)));
      throw error;
    }
  }
}

import { Inject, Injectable, Logger } from '@nestjs/common';
import { findServable, type Ports } from '@lowrank/domain';
import { PORTS } from '../dependencies';
import { Servers } from './servers';

/** Has models loaded before they are asked for. */
@Injectable()
export class Prefetcher {
  private readonly logger = new Logger('Prefetch');

  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly servers: Servers,
  ) {}

  /** Does not wait, and fails with a line in the log: whoever asks for the model loads it then. Nothing where there is no server. */
  prefetch(teamId: string, model: string): void {
    if (this.servers.count === 0) return;
    void this.load(teamId, model).catch((error: Error) =>
      this.logger.warn(`${model} was not loaded ahead: ${error.message}`),
    );
  }

  private async load(teamId: string, model: string): Promise<void> {
    const { target } = await this.ports.unitOfWork
      .forTeam(teamId)
      .look((repositories) => findServable(repositories, teamId, model));
    await this.servers.prefetch(target);
  }
}

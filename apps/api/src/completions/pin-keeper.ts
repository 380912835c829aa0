import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { LowrankError, type Pin, type PinState, type PinStatus } from '@lowrank/contracts';
import {
  addPin,
  type PinName,
  pinTarget,
  pinTargets,
  type PinTarget,
  type Ports,
  removePin,
} from '@lowrank/domain';
import { PORTS } from '../dependencies';
import { Servers } from './servers';

/** How often servers are told what to keep, in case that they have started anew, or that an alias has moved. */
const tellEveryMs = 15_000;

/**
 * Has servers keep what is pinned: each pin at the server that its requests go to. Servers are told whole lists, the same by every process of the
 * API, so that what one of them missed is made good by the next time.
 */
@Injectable()
export class PinKeeper implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Pins');
  private timer: NodeJS.Timeout | null = null;
  private telling: Promise<unknown> = Promise.resolve();

  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly servers: Servers,
  ) {}

  onApplicationBootstrap(): void {
    if (this.servers.count === 0) return;
    this.tellSoon();
    this.timer = setInterval(() => this.tellSoon(), tellEveryMs);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    if (this.timer !== null) clearInterval(this.timer);
  }

  /** Loads it, and then writes down that it stays. Errors: those of pinTarget and of addPin; the server's, which does not have room for it. */
  async pin(teamId: string, name: PinName, actor: string): Promise<Pin> {
    const wanted = await this.ports.unitOfWork.look((repositories) => pinTarget(repositories, teamId, name));
    const states = await this.tell([wanted.target]);
    const reason = states.get(wanted.target.adapter.id)?.reason;
    if (reason) throw new LowrankError(reason.code, `${nameOf(name)} is not pinned: ${reason.message}`);
    return addPin(this.ports, teamId, { ...name, actor });
  }

  /** Errors: not_found. */
  async unpin(teamId: string, name: PinName): Promise<void> {
    await removePin(this.ports, teamId, name);
    this.tellSoon();
  }

  /** Tells servers what is pinned now, without waiting for it; what fails has a line in the log. */
  tellSoon(): void {
    if (this.servers.count === 0) return;
    this.tell([]).catch((error: Error) =>
      this.logger.warn(`Servers were not told of pins: ${error.message}`),
    );
  }

  /** A team's pins, and what has become of them. */
  async statuses(teamId: string): Promise<PinStatus[]> {
    const pins = await this.ports.unitOfWork.look((repositories) => pinTargets(repositories, teamId));
    const states = new Map<string, PinState>();
    for (const one of await this.servers.pins()) states.set(one.id, one);
    return pins.map((pin) => statusOf(pin, states));
  }

  /** Tells every server what it is to keep, `besides` too; one telling after the other. What each says of its pins, by the ids of versions. */
  private tell(besides: readonly NonNullable<PinTarget['target']>[]): Promise<Map<string, PinState>> {
    const told = this.telling.then(async () => {
      const pins = await this.ports.unitOfWork.acrossTeams.look((repositories) =>
        pinTargets(repositories, null),
      );
      const targets = new Map<string, NonNullable<PinTarget['target']>>();
      for (const target of [...pins.map((pin) => pin.target), ...besides])
        if (target !== null) targets.set(target.adapter.id, target);
      const states = await this.servers.declarePins([...targets.values()]);
      return new Map(states.map((state) => [state.id, state]));
    });
    this.telling = told.catch(() => undefined);
    return told;
  }
}

const nameOf = ({ adapter, ref }: PinName): string => `${adapter}@${ref}`;

function statusOf(
  { teamId: _teamId, target, ...pin }: PinTarget,
  states: ReadonlyMap<string, PinState>,
): PinStatus {
  const told = target === null ? undefined : states.get(target.adapter.id);
  const { state = 'waiting', bytes = 0, reason = null } = told ?? {};
  return {
    ...{ ...pin, state, bytes },
    reason: target === null ? 'It stands for no version now.' : (reason?.message ?? null),
  };
}

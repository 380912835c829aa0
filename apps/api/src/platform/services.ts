import { Inject, Injectable } from '@nestjs/common';
import { type Config, describeConfig, secretsOf } from '@lowrank/config';
import { type Service } from '@lowrank/contracts';
import { type ObjectStore, type Ports, type QueueInspector } from '@lowrank/domain';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { CONFIG, PORTS, QUEUE, STORE } from '../dependencies';
import { withoutCredentials } from './settings';

const limitMs = 3000;
/** Many pages that look at once cost one look. */
const freshMs = 1000;

type Seen = Pick<Service, 'version' | 'detail'>;
const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(bytes < 10 * 2 ** 30 ? 2 : 0)} GiB`;

/** Looks at what the installation stands on. What is wrong is told with its reason: only those who run it may ask. */
@Injectable()
export class Services {
  private last: { at: number; services: Promise<Service[]> } | null = null;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(STORE) private readonly store: ObjectStore,
    @Inject(QUEUE) private readonly queue: QueueInspector,
  ) {}

  look(): Promise<Service[]> {
    const now = performance.now();
    if (this.last === null || now - this.last.at > freshMs) this.last = { at: now, services: this.ask() };
    return this.last.services;
  }

  private ask(): Promise<Service[]> {
    const { s3, dataDir, serve } = this.config;
    const folder = join(dataDir, 'objects');
    const database = String(describeConfig(this.config).databaseUrl);
    return Promise.all([
      this.measure({ service: 'database', type: 'postgres', address: database }, async () => {
        const { version, bytes } = await this.ports.unitOfWork.acrossTeams.look(({ statistics }) =>
          statistics.database(),
        );
        return { version, detail: `${gib(bytes)} of data` };
      }),
      this.measure({ service: 'queue', type: this.queue.type, address: this.queue.address }, async () => ({
        version: await this.queue.probe(),
        detail: null,
      })),
      this.measure(
        s3 === null
          ? { service: 'store', type: 'folder', address: folder }
          : { service: 'store', type: 's3', address: `${s3.endpoint ?? `AWS ${s3.region}`} ${s3.bucket}` },
        async () => {
          await this.store.probe();
          if (s3 !== null) return { version: null, detail: null };
          const room = await statfs(folder).catch(() => null);
          return { version: null, detail: room && `${gib(room.bavail * room.bsize)} free` };
        },
      ),
      ...serve.urls.map((url) =>
        this.measure({ service: 'server', type: 'lowrank', address: url }, () => serverAt(url)),
      ),
    ]);
  }

  private async measure(
    what: Pick<Service, 'service' | 'type' | 'address'>,
    probe: () => Promise<Seen>,
  ): Promise<Service> {
    const begin = performance.now();
    const late = new AbortController();
    const timeout = wait(limitMs, undefined, { signal: late.signal, ref: false }).then(() => {
      throw new Error(`no answer within ${limitMs} ms`);
    });
    const address = this.cleaned(what.address);
    const elapsed = () => Math.round((performance.now() - begin) * 10) / 10;
    try {
      const seen = await Promise.race([probe(), timeout]);
      return { ...what, address, state: 'ok', latencyMs: elapsed(), ...seen };
    } catch (error) {
      const detail = this.cleaned(reasonOf(error));
      return { ...what, address, state: 'failing', latencyMs: elapsed(), version: null, detail };
    } finally {
      late.abort();
      timeout.catch(() => undefined);
    }
  }

  private cleaned(text: string): string {
    const clean = secretsOf(this.config).reduce((rest, secret) => rest.replaceAll(secret, '***'), text);
    return withoutCredentials(clean);
  }
}

/** Messages of an error and of what led to it, without repetitions. */
function reasonOf(error: unknown): string {
  const messages: string[] = [];
  for (
    let one = error as Partial<Error> | undefined;
    one && messages.length < 4;
    one = one.cause as typeof one
  )
    if (one.message && !messages.includes(one.message)) messages.push(one.message);
  return messages.join(' ') || String(error);
}

async function serverAt(url: string): Promise<Seen> {
  const target = new URL('/health', url);
  // It needs none, and fetch refuses URLs that have some.
  Object.assign(target, { username: '', password: '' });
  const response = await fetch(target, { signal: AbortSignal.timeout(limitMs) });
  if (!response.ok) throw new Error(`answered ${response.status}`);
  const load = Object.entries((await response.json()) as Record<string, unknown>);
  const known = load.filter(([name]) => name !== 'status').map(([name, value]) => `${String(value)} ${name}`);
  return { version: null, detail: known.join(', ') };
}

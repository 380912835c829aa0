import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { type Config } from '@lowrank/config';
import { LowrankError, type ServeRequestInput, type ServeTarget } from '@lowrank/contracts';
import { createHash } from 'node:crypto';
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { CONFIG } from '../dependencies';

/** Where an error says that nobody was there, so that the request can go elsewhere: it has not begun. */
const unreached = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
]);

/**
 * The servers that generate answers. Requests for an adapter go to the same one as long as it is there, which has it in memory then; when
 * it is not, to the next in an order that is the adapter's own, so that those of a lost server spread over all others (rendezvous
 * hashing, Thaler & Ravishankar 1998).
 */
@Injectable()
export class Servers implements OnModuleDestroy {
  private readonly urls: readonly string[];
  private readonly token: string;
  private readonly agents = {
    http: new HttpAgent({ keepAlive: true }),
    https: new HttpsAgent({ keepAlive: true }),
  };

  constructor(@Inject(CONFIG) { serve }: Config) {
    this.urls = serve.urls;
    this.token = serve.token ?? '';
  }

  onModuleDestroy(): void {
    this.agents.http.destroy();
    this.agents.https.destroy();
  }

  /** The response of a server, of whatever status. Error: server_unavailable. */
  async complete(request: ServeRequestInput, signal: AbortSignal): Promise<IncomingMessage> {
    const body = JSON.stringify(request);
    for (const url of ranked(this.urls, affinityOf(request.target))) {
      try {
        return await this.post(url, body, signal);
      } catch (error) {
        if (unreached.has((error as NodeJS.ErrnoException).code ?? '')) continue;
        signal.throwIfAborted();
        throw new LowrankError('server_unavailable', 'The server broke off.', undefined, { cause: error });
      }
    }
    throw new LowrankError(
      'server_unavailable',
      this.urls.length === 0
        ? 'This installation has no server that generates answers: LOWRANK_SERVE_URLS is not set.'
        : 'No server that generates answers was reached.',
    );
  }

  private post(url: string, body: string, signal: AbortSignal): Promise<IncomingMessage> {
    const target = new URL('/v1/completions', url);
    const secure = target.protocol === 'https:';
    const headers = {
      authorization: `Bearer ${this.token}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    };
    return new Promise((resolve, reject) => {
      const options = {
        method: 'POST',
        headers,
        signal,
        agent: secure ? this.agents.https : this.agents.http,
      };
      const request = (secure ? httpsRequest : httpRequest)(target, options, resolve);
      request.once('error', reject);
      request.end(body);
    });
  }
}

/** What has to be in memory: requests that need the same go to the same server. */
const affinityOf = ({ adapter, baseModel, mix }: ServeTarget): string =>
  mix?.map((part) => part.adapter.id).join() ??
  adapter?.id ??
  baseModel.files.map(({ sha256 }) => sha256).join();

/** Servers in the order in which one key prefers them. */
export function ranked(urls: readonly string[], key: string): string[] {
  const weight = (url: string) => createHash('sha256').update(`${url}\n${key}`).digest('hex');
  return urls
    .map((url) => ({ url, weight: weight(url) }))
    .sort((a, b) => (a.weight < b.weight ? -1 : 1))
    .map(({ url }) => url);
}

import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { type Config } from '@lowrank/config';
import {
  errorBodySchema,
  LowrankError,
  type PinState,
  pinStatesSchema,
  type ServeRequestInput,
  type ServeTarget,
  type Tokens,
  tokensSchema,
  usageHeader,
} from '@lowrank/contracts';
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { CONFIG } from '../dependencies';
import { ranked, routed } from './routing';

/** Where an error says that nobody was there, so that the request can go elsewhere: it has not begun. */
const unreached = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
]);
const closedMeanwhile = new Set(['ECONNRESET', 'EPIPE']);
/** How long a server that was not reached is asked last. */
const downMs = 5000;
/** Longest that a server takes to end an answer whose client has left. */
const leavingMs = 10_000;
/** A refusal that took longer than this came after waiting for a turn: nobody waits for the next server's as well. */
const promptMs = 5000;

export interface WatchOptions {
  /** How often a server that keeps a request waiting is asked whether it is there, and how long it has to say so. */
  everyMs: number;
  patienceMs: number;
}

type PinnedTarget = ServeTarget & { adapter: NonNullable<ServeTarget['adapter']> };

export interface Answered {
  /** Of whatever status. */
  answer: IncomingMessage;
  /** What it took, once it has ended; null: the server did not say. */
  tokens: Promise<Tokens | null>;
}

/**
 * The servers that generate answers. Requests for an adapter go to the same one, which has it in memory then, as long as it is there and has
 * no more than its share of all requests; else to the next in an order that is the adapter's own (routing.ts). Loads are those that this
 * process knows of: its own requests.
 */
@Injectable()
export class Servers implements OnApplicationShutdown {
  private readonly urls: readonly string[];
  private readonly token: string;
  private readonly loads = new Map<string, number>();
  private readonly downUntil = new Map<string, number>();
  private readonly agents = {
    http: new HttpAgent({ keepAlive: true }),
    https: new HttpsAgent({ keepAlive: true }),
  };

  /** Watching is the same everywhere but in tests. */
  watching: WatchOptions = { everyMs: 5000, patienceMs: 5000 };

  constructor(@Inject(CONFIG) { serve }: Config) {
    this.urls = serve.urls;
    this.token = serve.token ?? '';
  }

  /** How many there are in the configuration. */
  get count(): number {
    return this.urls.length;
  }

  /** When all requests have been answered. */
  onApplicationShutdown(): void {
    this.agents.http.destroy();
    this.agents.https.destroy();
  }

  /** `id`: of the request, different for each. `left`: its client has left, so that the answer is to end. Error: server_unavailable. */
  async complete(request: ServeRequestInput, id: string, left: AbortSignal): Promise<Answered> {
    const body = JSON.stringify(request);
    const begun = performance.now();
    let refusal: Answered | null = null;
    for (const url of this.order(request.target)) {
      if (refusal !== null && performance.now() - begun > promptMs) return refusal;
      left.throwIfAborted();
      const end = this.begin(url);
      const cancel = () => void this.cancel(url, id);
      left.addEventListener('abort', cancel, { once: true });
      const frozen = new AbortController();
      const unwatch = this.watch(url, frozen);
      const done = () => {
        end();
        unwatch();
        left.removeEventListener('abort', cancel);
      };
      try {
        const answer = await this.send('POST', url, '/v1/completions', body, { id, signal: frozen.signal });
        const tokens = tokensOf(answer, left).finally(done);
        refusal?.answer.resume();
        // One that takes no more has not begun; the last one's refusal is the answer.
        if (answer.statusCode !== 429 && answer.statusCode !== 503) return { answer, tokens };
        refusal = { answer, tokens };
      } catch (error) {
        done();
        if (!this.wasUnreached(url, error)) throw brokenOff(error);
      }
    }
    if (refusal !== null) return refusal;
    throw new LowrankError(
      'server_unavailable',
      this.urls.length === 0
        ? 'This installation has no server that generates answers: LOWRANK_SERVE_URLS is not set.'
        : 'No server that generates answers was reached.',
    );
  }

  /**
   * Has so many servers load what a target needs, those first that its requests go to; fewer where there are no more. How many have. Errors: the
   * last server's own where none has, server_unavailable.
   */
  async prefetch(target: ServeTarget, count = 1): Promise<number> {
    const body = JSON.stringify(target);
    let loaded = 0;
    let refusal = unavailable();
    for (const url of this.order(target)) {
      if (loaded === count) break;
      try {
        await this.json(url, 'POST', '/v1/prefetch', z.null(), body);
        loaded += 1;
      } catch (error) {
        if (!(error instanceof LowrankError)) throw error;
        refusal = error;
      }
    }
    if (loaded === 0) throw refusal;
    return loaded;
  }

  /**
   * Tells every server that is there the pins that it is to keep, and no others: each goes to one. What they say of them. `lost`: were not
   * reached just now. Error: server_unavailable where there is none.
   */
  async declarePins(
    targets: readonly PinnedTarget[],
    lost: ReadonlySet<string> = new Set(),
  ): Promise<PinState[]> {
    const left = this.urls.filter((url) => !lost.has(url));
    const up = left.filter((url) => !this.isDown(url));
    const lists = new Map<string, PinnedTarget[]>((up.length > 0 ? up : left).map((url) => [url, []]));
    if (lists.size === 0 && targets.length > 0) throw unavailable();
    const urls = [...lists.keys()];
    for (const target of targets) lists.get(ranked(urls, affinityOf(target))[0] ?? '')?.push(target);
    const told = [...lists].map(([url, list]) =>
      this.json(url, 'PUT', '/v1/pins', pinStatesSchema, JSON.stringify({ targets: list })).then(
        ({ pins }) => pins,
        (error: Error) => ({ url, error }),
      ),
    );
    const answers = await Promise.all(told);
    const failed = answers.filter((answer) => 'error' in answer);
    const unreachable = failed.filter(({ url }) => this.isDown(url)).map(({ url }) => url);
    // What they were to keep goes to others.
    if (unreachable.length > 0) return this.declarePins(targets, new Set([...lost, ...unreachable]));
    if (failed[0] !== undefined) throw failed[0].error;
    return answers.flatMap((answer) => ('error' in answer ? [] : answer));
  }

  /** Pins of all servers that are there. */
  async pins(): Promise<PinState[]> {
    const told = this.urls.map((url) =>
      this.json(url, 'GET', '/v1/pins', pinStatesSchema).then(
        ({ pins }) => pins,
        () => [],
      ),
    );
    return (await Promise.all(told)).flat();
  }

  /** A server's answer of JSON, or null where it has none. Errors: server_unavailable, and the server's own. */
  private async json<T>(
    url: string,
    method: string,
    path: string,
    schema: z.ZodType<T>,
    body?: string,
  ): Promise<T> {
    let answer: IncomingMessage;
    try {
      answer = await this.send(method, url, path, body);
    } catch (error) {
      this.wasUnreached(url, error);
      throw unavailable();
    }
    if (answer.statusCode !== 200 && answer.statusCode !== 204) throw await errorOf(answer);
    return schema.parse(parseJson(await text(answer)));
  }

  private isDown(url: string): boolean {
    return (this.downUntil.get(url) ?? 0) > performance.now();
  }

  private order(target: ServeTarget): string[] {
    return routed(
      this.urls,
      affinityOf(target),
      (url) => this.loads.get(url) ?? 0,
      (url) => this.isDown(url),
    );
  }

  private wasUnreached(url: string, error: unknown): boolean {
    if (!unreached.has((error as NodeJS.ErrnoException).code ?? '')) return false;
    this.downUntil.set(url, performance.now() + downMs);
    return true;
  }

  /**
   * Asks a server again and again whether it is there, until the returned function is called. One that does not say so (it is frozen, or its
   * machine is gone without a word) ends the request with ETIMEDOUT: before its answer has begun it goes elsewhere, else it breaks off.
   */
  private watch(url: string, request: AbortController): () => void {
    const { everyMs, patienceMs } = this.watching;
    const timer = setInterval(() => {
      this.send('GET', url, '/health', undefined, { signal: AbortSignal.timeout(patienceMs) }).then(
        (answer) => answer.resume(),
        () => {
          clearInterval(timer);
          request.abort(Object.assign(new Error('The server does not answer.'), { code: 'ETIMEDOUT' }));
        },
      );
    }, everyMs);
    timer.unref();
    return () => clearInterval(timer);
  }

  private begin(url: string): () => void {
    this.loads.set(url, (this.loads.get(url) ?? 0) + 1);
    return () => void this.loads.set(url, (this.loads.get(url) ?? 1) - 1);
  }

  /** Ends an answer; how much it took comes with its end. */
  private async cancel(url: string, id: string): Promise<void> {
    const answer = await this.send('DELETE', url, `/v1/completions/${encodeURIComponent(id)}`).catch(
      () => null,
    );
    answer?.resume();
  }

  /**
   * A kept connection that the server closes just as it is used again (it was idle for long, or the server leaves) has brought nothing over:
   * such a request is sent again, on another one.
   */
  private send(
    method: string,
    url: string,
    path: string,
    body?: string,
    { id, signal }: { id?: string; signal?: AbortSignal } = {},
  ): Promise<IncomingMessage> {
    const target = new URL(path, url);
    const secure = target.protocol === 'https:';
    const headers = {
      authorization: `Bearer ${this.token}`,
      ...(id === undefined ? {} : { 'x-request-id': id }),
      ...(body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
    };
    return new Promise((resolve, reject) => {
      const options = { method, headers, signal, agent: secure ? this.agents.https : this.agents.http };
      const request = (secure ? httpsRequest : httpRequest)(target, options, resolve);
      request.once('error', (error: NodeJS.ErrnoException) => {
        if (request.reusedSocket && closedMeanwhile.has(error.code ?? ''))
          resolve(this.send(method, url, path, body, { id, signal }));
        else reject(signal?.aborted === true ? (signal.reason as Error) : error);
      });
      request.end(body);
    });
  }
}

/** Resolves when the answer has ended, by itself or because its client left. */
function tokensOf(answer: IncomingMessage, left: AbortSignal): Promise<Tokens | null> {
  return new Promise((resolve) => {
    const onLeft = () => setTimeout(() => answer.destroy(), leavingMs).unref();
    left.addEventListener('abort', onLeft, { once: true });
    if (left.aborted) onLeft();
    answer.once('close', () => {
      left.removeEventListener('abort', onLeft);
      const said = answer.trailers[usageHeader] ?? answer.headers[usageHeader];
      resolve(tokensSchema.safeParse(parseJson(String(said))).data ?? null);
    });
  });
}

const unavailable = (): LowrankError =>
  new LowrankError('server_unavailable', 'No server that generates answers was reached.');

export const brokenOff = (cause: unknown): LowrankError =>
  new LowrankError('server_unavailable', 'The server broke off.', undefined, { cause });

/** The server's own error; what is none of ours says that a server is not what it should be. */
export async function errorOf(answer: IncomingMessage): Promise<LowrankError> {
  const body = await text(answer).catch(() => '');
  const parsed = errorBodySchema.safeParse(parseJson(body));
  if (!parsed.success || answer.statusCode === 401)
    return new LowrankError('server_unavailable', `A server answered with status ${answer.statusCode}.`);
  const { code, message, details, help } = parsed.data.error;
  return new LowrankError(code, message, details, { help });
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** What has to be in memory: requests that need the same go to the same server. */
const affinityOf = ({ adapter, baseModel, mix }: ServeTarget): string =>
  mix?.map((part) => part.adapter.id).join() ??
  adapter?.id ??
  baseModel.files.map(({ sha256 }) => sha256).join();

import { errorBodySchema, LowrankError, type Page, pageSchema } from '@lowrank/contracts';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from 'undici';
import { type z } from 'zod';
import { CliError, exitCodes } from '../errors';

/** fetch gives up after five minutes on its own; an import, a large upload or a quiet stream may take longer. */
const patient = new Agent({ headersTimeout: 0, bodyTimeout: 0 });

export interface Request {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Sent as JSON. */
  json?: unknown;
  form?: FormData;
  /** Sent as they are. */
  bytes?: Blob;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Milliseconds until the answer's head must be there; 0: for ever (uploads). Default 30 s. */
  timeoutMs?: number;
}

/** HTTP to one Lowrank server with one key. Errors are the server's own LowrankError, or CliError when there was no answer. */
export class Http {
  constructor(
    readonly url: string,
    private readonly key: string | null,
  ) {}

  /** The answer's body, parsed with `schema`. */
  async json<T extends z.ZodType>(path: string, schema: T, request: Request = {}): Promise<z.output<T>> {
    const response = await this.response(path, request);
    const parsed = schema.safeParse(await response.json());
    if (!parsed.success) {
      throw new CliError(
        `${this.url}${path} answered something this version of lowrank does not understand`,
        {
          help: 'Server and command line are of different versions; use the same.',
          cause: parsed.error,
        },
      );
    }
    return parsed.data;
  }

  /** Every item of a list, page after page. */
  async *pages<T extends z.ZodType<{ id: string }>>(
    path: string,
    item: T,
    query = new URLSearchParams(),
  ): AsyncGenerator<z.output<T>, void> {
    query.set('limit', '200');
    for (;;) {
      const page = (await this.json(`${path}?${query}`, pageSchema(item))) as Page<z.output<T>>;
      yield* page.data;
      const last = page.data.at(-1);
      if (!page.hasMore || last === undefined) return;
      query.set('after', last.id);
    }
  }

  /** The answer with an unread body, its status already checked. A GET is tried three times when no server answers. */
  async response(path: string, request: Request = {}): Promise<Response> {
    const attempts = (request.method ?? 'GET') === 'GET' ? 3 : 1;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.once(path, request);
      } catch (error) {
        if (request.signal?.aborted) throw error;
        const retryable = error instanceof CliError && error.options.exitCode === exitCodes.unreachable;
        if (!retryable || attempt === attempts) throw error;
        await sleep(300 * attempt);
      }
    }
  }

  private async once(path: string, request: Request): Promise<Response> {
    const timeoutMs = request.timeoutMs ?? 30_000;
    const timeout = new AbortController();
    const timer =
      timeoutMs > 0
        ? setTimeout(() => timeout.abort(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs)
        : null;
    const signals = [timeout.signal, ...(request.signal ? [request.signal] : [])];
    let response: Response;
    try {
      response = await fetch(`${this.url}${path}`, {
        method: request.method ?? 'GET',
        headers: {
          ...request.headers,
          ...(this.key === null ? {} : { authorization: `Bearer ${this.key}` }),
          ...(request.json === undefined ? {} : { 'content-type': 'application/json' }),
          ...(request.bytes === undefined ? {} : { 'content-type': 'application/octet-stream' }),
        },
        body:
          request.form ??
          request.bytes ??
          (request.json === undefined ? undefined : JSON.stringify(request.json)),
        signal: AbortSignal.any(signals),
        redirect: 'error',
        dispatcher: patient,
      });
    } catch (error) {
      if (request.signal?.aborted) throw error;
      throw new CliError(`no Lowrank server answers at ${this.url}`, {
        help: 'Start one with "lowrank up", or name another with --url or LOWRANK_URL.',
        exitCode: exitCodes.unreachable,
        cause: error,
      });
    } finally {
      if (timer) clearTimeout(timer);
    }
    if (!response.ok) throw await failure(response);
    return response;
  }
}

/** The LowrankError that an answer's body carries. */
async function failure(response: Response): Promise<Error> {
  const text = await response.text();
  try {
    const { error } = errorBodySchema.parse(JSON.parse(text));
    return new LowrankError(error.code, error.message, error.details, { help: error.help });
  } catch {
    return new CliError(
      `the server answered ${response.status} ${response.statusText}: ${text.slice(0, 200)}`,
      {
        help: 'Is this the address of a Lowrank server?',
      },
    );
  }
}

import createClient, { type Client } from 'openapi-fetch';
import { type components, type paths } from './generated/schema';

export type { components, paths };

export interface LowrankClientOptions {
  /** Where the API is, e.g. `http://127.0.0.1:7380`. */
  url: string;
  /** An API key; left out: none is sent, as in a page that has a session. */
  key?: string;
  /** In the place of the global one. */
  fetch?: (request: Request) => Promise<Response>;
}

/** What the API has refused: a stable `code` (docs/errors.md), what was wrong and where, and what to do. */
export class LowrankApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly help: string,
    readonly details: { path?: string; line?: number; message: string }[],
    readonly requestId: string | null,
  ) {
    super(message);
    this.name = 'LowrankApiError';
  }
}

/** A typed client of the whole API: `client.GET(path, …)`, `POST`, …, as openapi-fetch has them. Answers that are no success are thrown as LowrankApiError. */
export function createLowrankClient({ url, key, fetch }: LowrankClientOptions): Client<paths> {
  const client = createClient<paths>({
    baseUrl: url.replace(/\/+$/, ''),
    fetch,
    headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
  });
  client.use({
    async onResponse({ response }) {
      if (!response.ok) throw await errorOf(response);
    },
  });
  return client;
}

async function errorOf(response: Response): Promise<LowrankApiError> {
  const text = await response.text();
  const body = parsed(text);
  return new LowrankApiError(
    response.status,
    body?.code ?? 'unknown',
    body?.message ?? `The server answered with status ${response.status}: ${text.slice(0, 200)}`,
    body?.help ?? 'Is this the address of a Lowrank server?',
    body?.details ?? [],
    response.headers.get('x-request-id'),
  );
}

interface Refusal {
  code?: string;
  message?: string;
  help?: string;
  details?: LowrankApiError['details'];
}

function parsed(text: string): Refusal | null {
  try {
    return (JSON.parse(text) as { error?: Refusal }).error ?? null;
  } catch {
    return null;
  }
}

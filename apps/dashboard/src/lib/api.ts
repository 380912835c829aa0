import { type ErrorBody } from '@lowrank/contracts';

type ErrorContent = ErrorBody['error'];
export type Parameters = Record<string, string | number | boolean | null | undefined>;

/** What the API has refused, or that it was not reached. `message` says what was wrong, `help` what to do. */
export class ApiError extends Error {
  readonly code: string;
  readonly help: string;
  readonly details: NonNullable<ErrorContent['details']>;
  readonly requestId: string | null;

  constructor(
    /** 0: there was no answer. */
    readonly status: number,
    { code, message, help, details, requestId }: Omit<ErrorContent, 'code'> & { code: string },
  ) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
    this.help = help;
    this.details = details ?? [];
    this.requestId = requestId ?? null;
  }

  /** What is wrong with a field of the request, by its path such as `recipe.lora.rank`. */
  at(path: string): string | undefined {
    return this.details.find((detail) => detail.path === path)?.message;
  }
}

let onSignedOut: () => void = () => undefined;
/** What to do when the session turns out to be over. */
export function whenSignedOut(handler: () => void): void {
  onSignedOut = handler;
}

/** A path with its parameters; those that are null, undefined or empty are left out. */
export function withParameters(path: string, parameters: Parameters = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters))
    if (value !== null && value !== undefined && value !== '') search.set(name, String(value));
  return search.size === 0 ? path : `${path}?${search}`;
}

/** The error that an answer tells of. */
export async function errorOf(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  const content = (body as Partial<ErrorBody> | null)?.error;
  if (content) return new ApiError(response.status, content);
  return new ApiError(response.status, {
    code: 'unexpected_answer',
    message: `The server answered with ${response.status}.`,
    help: 'Try again. If it stays, look at the log of the API, or at the proxy before it.',
  });
}

const unreachable = () =>
  new ApiError(0, {
    code: 'unreachable',
    message: 'The server was not reached.',
    help: 'Check the network and that Lowrank runs; what you see may be out of date.',
  });

async function request<T>(method: string, path: string, { body, signal }: RequestOptions = {}): Promise<T> {
  const isRaw = body instanceof FormData || body instanceof Blob;
  const response = await fetch(path, {
    method,
    signal,
    headers: body === undefined || isRaw ? undefined : { 'content-type': 'application/json' },
    body: body === undefined || isRaw ? body : JSON.stringify(body),
  }).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw unreachable();
  });
  if (!response.ok) {
    const error = await errorOf(response);
    if (error.code === 'unauthorized' && !path.startsWith('/api/v1/session')) onSignedOut();
    throw error;
  }
  const text = await response.text();
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

interface RequestOptions {
  /** An object is sent as JSON, a form as multipart, bytes as they are, under their own type. */
  body?: unknown;
  signal?: AbortSignal;
}

/** The HTTP API with the session of the browser. Every call throws ApiError. */
export const api = {
  get: <T>(path: string, parameters?: Parameters, signal?: AbortSignal) =>
    request<T>('GET', withParameters(path, parameters), { signal }),
  post: <T>(path: string, body?: unknown, signal?: AbortSignal) => request<T>('POST', path, { body, signal }),
  put: <T>(path: string, body?: unknown, signal?: AbortSignal) => request<T>('PUT', path, { body, signal }),
  patch: <T>(path: string, body?: unknown) => request<T>('PATCH', path, { body }),
  delete: <T = void>(path: string) => request<T>('DELETE', path),
};

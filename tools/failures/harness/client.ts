import {
  type AdapterVersion,
  type BaseModel,
  type CreateJobInput,
  type Dataset,
  type ErrorBody,
  type Job,
  type JobEvent,
} from '@lowrank/contracts';

export interface Answer<T> {
  status: number;
  body: T;
}

/** The HTTP API as a user with a key has it. */
export class Client {
  constructor(
    private readonly url: string,
    private readonly key: string,
  ) {}

  /** Resolves with whatever status; rejects when there is no answer, or none within the time. */
  async ask<T>(method: string, path: string, body?: unknown, withinSeconds = 300): Promise<Answer<T>> {
    const isForm = body instanceof FormData;
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.key}`,
        ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? undefined : isForm ? body : JSON.stringify(body),
      signal: AbortSignal.timeout(withinSeconds * 1000),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as T };
  }

  /** Rejects with the API's own words unless it answers with success. */
  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.ask<T>(method, `/api/v1${path}`, body);
    if (answer.status < 300) return answer.body;
    const { error } = answer.body as ErrorBody;
    throw new Error(`${method} ${path}: ${answer.status} ${error?.code} ${error?.message}`);
  }

  async isHealthy(): Promise<boolean> {
    return (await this.ask('GET', '/health')).status === 200;
  }

  importModel(name: string, folder: string): Promise<BaseModel> {
    return this.call('POST', '/base-models', { name, source: { type: 'folder', path: folder } });
  }

  upload(lines: string): Promise<Dataset> {
    const form = new FormData();
    form.set('file', new Blob([lines]), 'chats.jsonl');
    return this.call('POST', '/files', form);
  }

  submit(request: CreateJobInput): Promise<Job> {
    return this.call('POST', '/jobs', request);
  }

  job(id: string): Promise<Job> {
    return this.call('GET', `/jobs/${id}`);
  }

  cancel(id: string): Promise<Job> {
    return this.call('POST', `/jobs/${id}/cancel`);
  }

  async events(id: string): Promise<JobEvent[]> {
    const all: JobEvent[] = [];
    for (;;) {
      const after = all.at(-1)?.seq ?? 0;
      const page = await this.call<{ data: JobEvent[]; hasMore: boolean }>(
        'GET',
        `/jobs/${id}/events?after=${after}&limit=500`,
      );
      all.push(...page.data);
      if (!page.hasMore) return all;
    }
  }

  async versions(adapter: string): Promise<AdapterVersion[]> {
    return (await this.call<{ data: AdapterVersion[] }>('GET', `/adapters/${adapter}/versions`)).data;
  }

  /** One file of a version, whole; rejects when the connection is cut before its end. */
  async download(adapter: string, version: number, path: string): Promise<Answer<Uint8Array>> {
    const address = `${this.url}/api/v1/adapters/${adapter}/versions/${version}/${path}`;
    const response = await fetch(address, {
      headers: { authorization: `Bearer ${this.key}` },
      signal: AbortSignal.timeout(300_000),
    });
    return { status: response.status, body: new Uint8Array(await response.arrayBuffer()) };
  }
}

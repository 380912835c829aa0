import { tinyDataset } from '@lowrank/testing';
import OpenAI, { toFile } from 'openai';
import { type FineTuningJob } from '@lowrank/contracts';
import { TestApi } from './api';

/** A fine-tuning job with what OpenAI's client has no type for. */
export type OurJob = OpenAI.FineTuning.FineTuningJob & Pick<FineTuningJob, 'qlora'>;

/** Settings that fit the base model `tiny`. */
export const short = { training: { sequenceLength: 64 } };

/** OpenAI's own client on the real API, with a base model `tiny` and a file to train on. */
export class OpenAiWorld {
  private constructor(
    readonly api: TestApi,
    readonly client: OpenAI,
    private readonly trainingFile: string,
  ) {}

  static async start(): Promise<OpenAiWorld> {
    const api = await TestApi.start();
    await api.importTiny();
    const client = clientOf(api, api.memberKey);
    return new OpenAiWorld(api, client, (await uploadTo(client)).id);
  }

  clientOf(apiKey: string, options: Partial<ConstructorParameters<typeof OpenAI>[0]> = {}): OpenAI {
    return clientOf(this.api, apiKey, options);
  }

  upload(content?: string): Promise<OpenAI.FileObject> {
    return uploadTo(this.client, content);
  }

  /** What its types don't know, our own settings and mistakes, the client sends as it is. */
  async submit(overrides: Record<string, unknown> = {}): Promise<OurJob> {
    const body = {
      model: 'tiny',
      training_file: this.trainingFile,
      suffix: 'captain',
      qlora: short,
      ...overrides,
    };
    return (await this.client.fineTuning.jobs.create(body as OpenAI.FineTuning.JobCreateParams)) as OurJob;
  }
}

const clientOf = (
  api: TestApi,
  apiKey: string,
  options: Partial<ConstructorParameters<typeof OpenAI>[0]> = {},
) => new OpenAI({ baseURL: `${api.url}/v1`, apiKey, logLevel: 'off', ...options });

const uploadTo = async (client: OpenAI, content = tinyDataset(24)) =>
  client.files.create({ file: await toFile(Buffer.from(content), 'chats.jsonl'), purpose: 'fine-tune' });

/** What the client makes of a refusal; throws when there is none. */
export async function refused(promise: Promise<unknown>) {
  const error = await promise.then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OpenAI.APIError)) throw error;
  const { status, code, param, type, message, requestID } = error;
  return { status, code, param, type, message, requestID, name: error.constructor.name };
}

import { type BaseModel, type Dataset, LowrankError, type TokenLengths } from '@lowrank/contracts';
import { packLengths, tokensFormat, unpackLengths } from '@lowrank/datasets';
import { type ObjectStore } from '@lowrank/domain';
import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';

/** Files of a base model that decide its tokens and what is learnt of them. */
const tokenizerFiles = [
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
  'generation_config.json',
];

/** Lengths of datasets' conversations in the object store, by what decides them: counted once for all API processes. */
export class StoredLengths {
  constructor(private readonly store: ObjectStore) {}

  async find(
    baseModel: BaseModel,
    dataset: Pick<Dataset, 'sha256' | 'format'>,
  ): Promise<TokenLengths | null> {
    try {
      const { body } = await this.store.get(keyOf(baseModel, dataset));
      return unpackLengths(await buffer(body));
    } catch (error) {
      if (error instanceof LowrankError && error.code === 'not_found') return null;
      throw error;
    }
  }

  async keep(
    baseModel: BaseModel,
    dataset: Pick<Dataset, 'sha256' | 'format'>,
    lengths: TokenLengths,
  ): Promise<void> {
    const bytes = packLengths(lengths);
    await this.store.put(keyOf(baseModel, dataset), bytes, { bytes: bytes.length });
  }
}

export function keyOf(
  { files }: Pick<BaseModel, 'files'>,
  { sha256, format }: Pick<Dataset, 'sha256' | 'format'>,
): string {
  const tokenizer = tokenizerFiles.map((name) => files.find(({ path }) => path === name)?.sha256 ?? '-');
  const text = [tokensFormat, sha256, format, ...tokenizer].join('\n');
  return `lengths/${createHash('sha256').update(text).digest('hex')}`;
}

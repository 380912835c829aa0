import { type CombineSettings, LowrankError } from '@lowrank/contracts';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  type AdapterConfig,
  encodeAdapterConfig,
  readAdapterConfig,
} from '../peft-config';
import { combine } from './combine';
import { encodePairs, type Pairs, readPairs } from './pairs';

export interface CombinedFolder {
  modules: number;
  rank: number;
  /** What was read, and what was made of it and written. */
  adapters: Pairs[];
  pairs: Pairs;
}

/**
 * Combines adapters in PEFT's format, each in a folder of its own, and writes the result into the folder `into`, which is made. Throws LowrankError
 * validation_failed when they are of different bases or cannot be combined.
 */
export async function combineFolders(
  folders: readonly string[],
  settings: CombineSettings,
  into: string,
): Promise<CombinedFolder> {
  const configs = await Promise.all(folders.map(readAdapterConfig));
  const { source, revision } = commonBase(configs);
  const adapters = await Promise.all(configs.map((config, i) => readPairs(folders[i] as string, config)));
  const pairs = combine(adapters, settings);
  const [first] = pairs.values();
  if (first === undefined)
    throw new LowrankError('validation_failed', 'the adapters have no pairs to combine');
  const config = encodeAdapterConfig({
    base_model_name_or_path: source,
    revision,
    r: first.rank,
    lora_alpha: first.rank,
    target_modules: targetModules(configs, [...pairs.keys()]),
  });
  await mkdir(into, { recursive: true });
  await writeFile(join(into, ADAPTER_WEIGHTS), encodePairs(pairs));
  await writeFile(join(into, ADAPTER_CONFIG), config);
  return { modules: pairs.size, rank: first.rank, adapters, pairs };
}

function commonBase(configs: readonly AdapterConfig[]): { source: string | null; revision: string | null } {
  const [first, ...others] = configs.map(({ base_model_name_or_path: source, revision }) => ({
    source: source ?? null,
    revision: revision ?? null,
  }));
  const other = others.find(
    ({ source, revision }) => source !== first?.source || revision !== first.revision,
  );
  if (first === undefined || other !== undefined)
    throw new LowrankError(
      'validation_failed',
      `the adapters are of different base models: ${first?.source} at ${first?.revision}, and ${other?.source} at ${other?.revision}`,
    );
  return first;
}

/** The names that the adapters gave, as long as they mean the same in each of them; otherwise every module by its whole name. */
function targetModules(configs: readonly AdapterConfig[], modules: readonly string[]): string[] {
  const names = new Set<string>();
  for (const { target_modules: targets, exclude_modules: excluded, layers_to_transform: layers } of configs) {
    const isPlain = Array.isArray(targets) && (excluded ?? null) === null && (layers ?? null) === null;
    if (!isPlain) return [...modules];
    for (const name of targets) names.add(name);
  }
  return [...names].sort();
}

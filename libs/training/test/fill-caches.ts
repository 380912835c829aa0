// A process of its own for caches.spec.ts: opens the quantized base and the tokens that its argument describes.
import { openKernels } from '@lowrank/kernels';
import { loadTokens, openQuantizedBase, type StoredBase, type TokenCacheOptions } from '../src/caches';

async function fill({ stored, tokens }: { stored: StoredBase; tokens: TokenCacheOptions }): Promise<void> {
  const kernels = openKernels({ threads: 1 });
  const modelDir = () => Promise.resolve(tokens.tokenizerDir);
  const [base, rows] = await Promise.all([openQuantizedBase(kernels, modelDir, stored), loadTokens(tokens)]);
  process.stdout.write(`${base.info.layers} layers, ${rows.length} rows`);
  base.close();
  kernels.close();
}

void fill(JSON.parse(process.argv[2] as string) as Parameters<typeof fill>[0]);

import { copyFile, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeHeader } from '../safetensors';
import { ggufModel } from './gguf-architectures';
import { openGguf } from './gguf-file';
import { type ExportProgress, stepper } from './merge';
import { openWeights } from './weights';

/**
 * Makes a model folder of a GGUF file, as its readers take it: float32 weights by the names that they have in `modelDir`, from where everything
 * else is. Throws LowrankError integrity_failed.
 */
export async function readGgufModel(
  modelDir: string,
  file: string,
  into: string,
  progress: ExportProgress = {},
): Promise<void> {
  const weights = await openWeights(modelDir);
  await weights.close();
  const model = ggufModel(weights.config, weights.settings);
  const wanted = weights.files.flatMap((of) =>
    of.weights.flatMap(({ entry, name }) => {
      const called = model.nameOf(name);
      return called === null ? [] : [{ called, current: name, name: entry.name, shape: entry.shape }];
    }),
  );
  await mkdir(into, { recursive: true });
  for (const name of await readdir(modelDir))
    if (name.endsWith('.json') && name !== 'model.safetensors.index.json')
      await copyFile(join(modelDir, name), join(into, name));
  const gguf = await openGguf(file);
  const out = await open(join(into, 'model.safetensors'), 'w');
  try {
    await out.writeFile(encodeHeader(wanted));
    const step = stepper(wanted.length, progress);
    for (const { called, current, shape } of wanted)
      await step(async () => {
        const values = await gguf.values(called);
        model.arrange(current, values, shape[0] as number, true);
        await out.writeFile(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
      });
  } finally {
    await out.close();
    await gguf.close();
  }
}

import { parseModelConfig } from '@lowrank/datasets';
import { safetensorsBytes } from '@lowrank/testing';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A config.json of this type; gemma3's members lie within. */
export function configOf(modelType: string, members: object): object {
  return modelType === 'gemma3'
    ? { model_type: modelType, text_config: members }
    : { model_type: modelType, ...members };
}

/** Writes config.json, and weights of the tensors that an import would ask for, if it accepts the configuration; all values are alike. */
export function writeModel(folder: string, config: object, rename = (tensor: string) => tensor): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const tensors = [...parseModelConfig(config).tensors].map(([tensor, shape]) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return [rename(tensor), { shape, values: new Float32Array(count).fill(0.01) }] as const;
  });
  writeFileSync(join(folder, 'model.safetensors'), safetensorsBytes(Object.fromEntries(tensors)));
  return folder;
}

// One decode step of many rows, for bench/decode.mjs and bench/serve.mjs.
import { median } from './results.mjs';

export const seconds = async (work) => {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
};

/** Bytes of weights that a decode step reads: all linear layers and the head. */
export function weightBytes({ linears, bytesPerParameter, vocab, hidden }) {
  const parameters = linears.reduce((sum, linear) => sum + linear.in * linear.out, 0);
  return parameters * bytesPerParameter + vocab * hidden * 2;
}

/** An adapter of rank `rank` on every linear layer, in floats or in bfloat16. */
export function makeAdapter(base, rank, seed, dtype = 'f32') {
  const targets = base.info.linears.map(({ name }) => ({ name, rank, scale: 2, bf16: dtype === 'bf16' }));
  return base.createAdapter({ targets, seed: BigInt(seed) });
}

/** Fills a page of `past` tokens for each of `count` sequences. */
export async function fill(cache, count, past) {
  const prompts = Array.from({ length: count }, (_, s) => ({
    tokens: Int32Array.from({ length: past }, (_, i) => 3 + ((s * past + i * 7919) % 8000)),
    ...{ past: 0, pages: Int32Array.of(s), adapter: null, wanted: false },
  }));
  await cache.run('prefill', prompts);
}

/**
 * Tokens/s of a step of `batch` rows: of the bare base, and by the names of `adapters` of one adapter and of an adapter for each row, which all
 * take turns. `adapters`: lists of as many adapters as rows, by how they are kept.
 */
export async function measure(adapters, cache, { batch, past, rounds }) {
  const sequences = (adapterOf) =>
    Array.from({ length: batch }, (_, s) => ({
      ...{ tokens: Int32Array.of(3 + s), past, pages: Int32Array.of(s), adapter: adapterOf(s) },
    }));
  const settings = { base: sequences(() => null) };
  for (const [dtype, kept] of Object.entries(adapters)) {
    settings[`one adapter, ${dtype}`] = sequences(() => kept[0]);
    settings[`an adapter each, ${dtype}`] = sequences((s) => kept[s]);
  }
  const times = Object.fromEntries(Object.keys(settings).map((name) => [name, []]));
  for (let round = 0; round <= rounds; round += 1)
    for (const [name, rows] of Object.entries(settings)) {
      const time = await seconds(() => cache.run('decode', rows));
      if (round > 0) times[name].push(time);
    }
  return Object.fromEntries(Object.entries(times).map(([name, all]) => [name, batch / median(all)]));
}

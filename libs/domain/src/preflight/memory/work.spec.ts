import { recipeSchema, type ExportFormat } from '@lowrank/contracts';
import { llama8b as decoder } from '../../test/llama-8b';
import { predictWorkMemory } from './work';

// bench/memory-work.mjs holds the figures against trainers.

const MiB = 2 ** 20;
const version = { id: `ver_${'a'.repeat(24)}`, adapter: 'captain', number: 1, files: [] };

const exported = (format: ExportFormat, longest = 4096) =>
  predictWorkMemory({
    model: { decoder, vocabSize: 128_256, contextLength: 131_072 },
    work: { kind: 'export', version, format, thresholds: { klMean: 1, agreement: 0 } },
    recipes: [recipeSchema.parse({})],
    threads: 8,
    dataset: { conversations: 10_000, tokens: 3_000_000 },
    longest,
    tokenizerBytes: 17_000_000,
  });

it('adds up what an export holds, which is the result read back too, but for adapters', () => {
  const merged = exported('merged');
  expect(Object.values(merged.parts).reduce((sum, part) => sum + part, 0)).toBe(merged.bytes);
  expect(merged.parts.result).toBe(merged.parts.base);
  // GGUF is read back as floats.
  expect(exported('gguf-f16').parts.result / merged.parts.result).toBeCloseTo(2, 2);
  expect(exported('gguf-adapter').parts.result).toBe(0);
  expect(exported('gguf-adapter').parts.garbage).toBe(32 * MiB);
  expect(exported('gguf-f16').parts.garbage).toBe(32 * MiB + 4 * 128_256 * 4096);
});

it('counts the logits of a row of both that are compared, cut at 256 tokens', () => {
  expect(exported('merged').parts.logits / MiB).toBeCloseTo((2 * 256 * 128_256 * 4) / MiB, 0);
  expect(exported('merged', 100).parts.logits / MiB).toBeCloseTo((2 * 100 * 128_256 * 4) / MiB, 0);
});

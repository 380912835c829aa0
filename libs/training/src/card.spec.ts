import { makeRecipe, makeVersionMetrics } from '@lowrank/testing';
import { modelCard, type CardOptions } from './card';

const options: CardOptions = {
  adapter: 'support-tone',
  base: { quantization: { format: 'nf4', doubleQuantization: true }, prequantized: false },
  source: 'owner/name',
  revision: 'abc',
  dataset: { sha256: 'd'.repeat(64) },
  initFrom: null,
  recipe: makeRecipe(),
  metrics: makeVersionMetrics(),
  templateSha256: 'e'.repeat(64),
};
const front = (card: string): string[] => (/^---\n(.*?)\n---\n/s.exec(card)?.[1] ?? '').split('\n');

describe('model card', () => {
  it.each([
    ['owner/name', true],
    ['tiny-llama', false],
    ['/models/tiny', false],
    ['a/b/c', false],
    ['owner/name\ntags: x', false],
  ])('names the base %j to the hub: %s', (source, named) => {
    const lines = front(modelCard({ ...options, source }));
    expect(lines.includes(`base_model: ${source}`)).toBe(named);
    expect(lines).toContain('library_name: peft');
    expect(lines.filter((line) => line.startsWith('tags:'))).toHaveLength(1);
  });

  it('tells results, sources and the whole recipe', () => {
    const card = modelCard(options);
    expect(card).toContain('| held-out loss (nats a token) | 2.9000 | 1.3000 |');
    expect(card).toContain('| held-out accuracy (tokens predicted) | 0.4000 | 0.7000 |');
    expect(card).toContain('Training loss 1.2000 over the last tenth of 100 steps; 36000 tokens');
    for (const hash of [options.dataset.sha256, options.templateSha256]) expect(card).toContain(hash);
    expect(JSON.parse(/```json\n(.*?)```/s.exec(card)?.[1] ?? '')).toEqual(options.recipe);
  });

  it('is the same for equal runs that took other times and memory', () => {
    const metrics = makeVersionMetrics({ seconds: 1, peakMemoryBytes: 1 });
    expect(modelCard({ ...options, metrics })).toBe(modelCard(options));
  });

  it('shows a dash where nothing was held out', () => {
    const metrics = makeVersionMetrics({ evalLossBefore: null, evalLossAfter: null });
    expect(modelCard({ ...options, metrics })).toContain('| held-out loss (nats a token) | – | – |');
  });
});

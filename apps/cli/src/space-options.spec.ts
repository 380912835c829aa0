import { addDimension, describeDimension } from './space-options';

describe('--set', () => {
  it.each([
    ['lora.rank=8,16, 32', { values: [8, 16, 32] }],
    ['optimizer.schedule=cosine,linear', { values: ['cosine', 'linear'] }],
    ['lora.dora=true,false', { values: [true, false] }],
    ['lora.targets=[["q_proj","v_proj"],"all-linear"]', { values: [['q_proj', 'v_proj'], 'all-linear'] }],
    ['lora.dropout=0..0.1', { min: 0, max: 0.1, scale: 'linear', integer: false }],
    ['optimizer.learningRate=log:1e-5..1e-3', { min: 1e-5, max: 1e-3, scale: 'log', integer: false }],
    ['training.rows=int:1..8', { min: 1, max: 8, scale: 'linear', integer: true }],
    ['lora.rank=log-int:4..64', { min: 4, max: 64, scale: 'log', integer: true }],
  ])('reads %s', (text, dimension) => {
    expect(Object.values(addDimension(text))).toEqual([dimension]);
  });

  it('gathers fields', () => {
    const space = addDimension('lora.dora=true', addDimension('lora.rank=8'));
    expect(space).toEqual({ 'lora.rank': { values: [8] }, 'lora.dora': { values: [true] } });
    expect(() => addDimension('lora.rank=16', space)).toThrow('lora.rank is set twice');
  });

  it.each(['lora.rank', '=8', 'lora.rank=', 'lora.targets=[["q_proj"'])('refuses %s', (text) => {
    expect(() => addDimension(text)).toThrow(/must be field=values|no JSON list/);
  });

  it('tells what a field can be as it was written', () => {
    expect(describeDimension({ values: [8, 'x', ['y']] })).toBe('8, x, ["y"]');
    expect(describeDimension({ min: 4, max: 64, scale: 'log', integer: true })).toBe('log-int:4..64');
    expect(describeDimension({ min: 0, max: 0.1, scale: 'linear', integer: false })).toBe('0..0.1');
  });
});

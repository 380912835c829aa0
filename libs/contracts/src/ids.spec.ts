import { storedFileSchema } from './base-model';
import { idSchema, nameSchema } from './ids';

describe('names and ids', () => {
  it.each(['captain', 'a', 'team-x.v2', 'llama_3.1-8b'])('accepts the name %s', (name) => {
    expect(nameSchema.safeParse(name).success).toBe(true);
  });

  it.each(['', '.', '..', 'a..b', '-a', 'a-', 'A', 'a/b', 'a%2fb', 'a\0b', 'a b', 'é', 'x'.repeat(97)])(
    'refuses the name %j',
    (name) => {
      expect(nameSchema.safeParse(name).success).toBe(false);
    },
  );

  it('ties an id to its kind', () => {
    const id = `job_${'a2'.repeat(12)}`;
    expect(idSchema('job').safeParse(id).success).toBe(true);
    expect(idSchema('dataset').safeParse(id).success).toBe(false);
    expect(idSchema('job').safeParse(`${id}/../x`).success).toBe(false);
  });

  it.each(['../config.json', '.hidden', 'a/b.safetensors', '', 'a\0'])(
    'refuses the stored file name %j',
    (path) => {
      expect(storedFileSchema.shape.path.safeParse(path).success).toBe(false);
    },
  );
});

import { LowrankError, type Metadata, metadataSchema } from '@lowrank/contracts';

const field = /^metadata\[(.*)\]$/s;

/** What `metadata[name]=text` of a query asks for. Error: validation_failed. */
export function metadataFilterOf(query: unknown): Metadata {
  const notes = Object.entries(query as Record<string, unknown>).flatMap(([key, value]) => {
    const [, name] = field.exec(key) ?? [];
    return name === undefined ? [] : [[name, value]];
  });
  const parsed = metadataSchema.safeParse(Object.fromEntries(notes));
  if (parsed.success) return parsed.data;
  const details = parsed.error.issues.map(({ path, message }) => ({
    path: ['metadata', ...path].join('.'),
    message,
  }));
  const fields = details.map(({ path, message }) => `${path}: ${message}`).join('; ');
  throw new LowrankError('validation_failed', `The request is not valid: ${fields}.`, details);
}

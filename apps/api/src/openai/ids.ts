import { idSchema } from '@lowrank/contracts';
import { notFound } from '@lowrank/domain';

/** An id as a client has sent it, in the field `path` of a body if it was one. What no id of ours can be is not there either: not_found, as OpenAI's clients expect. */
export function knownId(kind: 'dataset' | 'job', id: string, path?: string): string {
  if (!idSchema(kind).safeParse(id).success) throw notFound(kind, id, path);
  return id;
}

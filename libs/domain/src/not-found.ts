import { LowrankError } from '@lowrank/contracts';

export type ResourceKind =
  | 'API key'
  | 'base model'
  | 'dataset'
  | 'job'
  | 'upload'
  | 'team'
  | 'worker'
  | 'adapter'
  | 'model'
  | 'version'
  | 'export'
  | 'alias'
  | 'gate'
  | 'pin'
  | 'file'
  | 'webhook'
  | 'delivery'
  | 'sweep'
  | 'trial'
  | 'member'
  | 'grant'
  | 'service account'
  | 'invitation'
  | 'session';

/** The one way to say that something is not there. `path` names the field that referred to it, if a body did. */
export const notFound = (kind: ResourceKind, name: string, path?: string): LowrankError =>
  new LowrankError(
    'not_found',
    `There is no ${kind} '${name}'.`,
    path ? [{ path, message: `no such ${kind}` }] : undefined,
  );

/** Returns what was found, or throws `notFound`. */
export function found<T>(value: T | null, kind: ResourceKind, name: string, path?: string): T {
  if (value === null) throw notFound(kind, name, path);
  return value;
}

import { LowrankError } from '@lowrank/contracts';

/** What Hugging Face's clients tell apart, by a header. */
export type HubErrorCode = 'RepoNotFound' | 'RevisionNotFound' | 'EntryNotFound';

/** Something is not there, said so that Hugging Face's clients throw the class of their own for it. */
export class HubNotFound extends LowrankError {
  constructor(
    readonly hubCode: HubErrorCode,
    message: string,
  ) {
    super('not_found', message);
  }
}

const hubPath = /^\/api\/(?:models\/|whoami-v2)|^\/(?!api\/v1\/)[^?]*\/resolve\//;
/** By this text, and no other, the client knows that a key is wrong rather than a repository hidden. */
const wrongKey = 'Invalid credentials in Authorization header';

/** Headers that an error has for Hugging Face's clients, where it answers one of their routes. */
export function hubErrorHeaders(url: string, error: LowrankError, hasKey: boolean): Record<string, string> {
  if (!hubPath.test(url)) return {};
  if (error.code === 'unauthorized')
    return hasKey ? { 'x-error-message': wrongKey } : { 'x-error-code': 'RepoNotFound' };
  const message = { 'x-error-message': error.message.replace(/[^\x20-\x7e]/g, '?') };
  if (error instanceof HubNotFound) return { 'x-error-code': error.hubCode, ...message };
  // A path with folders, which no file of ours has.
  return error.code === 'not_found' ? { 'x-error-code': 'EntryNotFound', ...message } : message;
}

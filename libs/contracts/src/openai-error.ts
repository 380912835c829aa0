import { type LowrankError } from './errors';
import { type OpenAiError } from './openai';

const renamed: [RegExp, string][] = [
  [/^recipe\b/, 'qlora'],
  [/^baseModel$/, 'model'],
  [/^dataset$/, 'training_file'],
  [/^validationDataset$/, 'validation_file'],
  [/^adapter$/, 'suffix'],
];
/** What our requests call a field, as OpenAI's call it. */
export const paramOf = (path: string): string =>
  renamed.reduce((name, [ours, theirs]) => name.replace(ours, theirs), path);

function typeOf({ status, code }: LowrankError): OpenAiError['error']['type'] {
  if (code === 'quota_exceeded') return 'insufficient_quota';
  if (status === 429) return 'rate_limit_exceeded';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/**
 * An error for OpenAI's clients, as a body or as the last event of a stream. Codes are those of docs/errors.md, but for some that clients
 * know by another name.
 * `hasRoute`: whether the request was for something that there is.
 */
export function openAiErrorOf(error: LowrankError, hasRoute = true): OpenAiError {
  const param = error.details?.[0]?.path;
  const body = (code: string, message = `${error.message} ${error.help}`): OpenAiError => ({
    error: { message, type: typeOf(error), param: param === undefined ? null : paramOf(param), code },
  });
  if (error.code === 'unauthorized') return body('invalid_api_key');
  if (error.code === 'not_found' && param === 'model') return body('model_not_found');
  if (error.code === 'context_exceeded') return body('context_length_exceeded');
  if (error.code === 'not_found' && !hasRoute)
    return body(
      'unknown_url',
      `${error.message}: there is no such route. docs/openai.md lists those there are.`,
    );
  return body(error.code);
}

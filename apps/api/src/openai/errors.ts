import { ApiDefaultResponse } from '@nestjs/swagger';
import { LowrankError, type OpenAiError, openAiErrorSchema } from '@lowrank/contracts';
import { createZodDto } from 'nestjs-zod';

const openAiPath = /^\/v1(?:[/?]|$)/;
/** Whether a URL is one of OpenAI's API, whose errors have a shape of their own. */
export const isOpenAiUrl = (url: string): boolean => openAiPath.test(url);

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
 * An error for OpenAI's clients. Codes are those of docs/errors.md, but for some that clients know by another name.
 * `hasRoute`: whether the request was for something that there is.
 */
export function openAiErrorOf(error: LowrankError, hasRoute: boolean): OpenAiError {
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

/** The clients try again by themselves what will not get better by itself, unless they are told. */
export const openAiErrorHeaders = ({ status, code }: LowrankError): Record<string, string> =>
  status === 409 || code === 'quota_exceeded' || code === 'integrity_failed'
    ? { 'x-should-retry': 'false' }
    : {};

class OpenAiErrorDto extends createZodDto(openAiErrorSchema) {}

/** Describes the errors of a controller's routes. */
export const ApiOpenAiError = () =>
  ApiDefaultResponse({
    description: "An error, as OpenAI's clients read it.",
    type: OpenAiErrorDto.Output,
  });

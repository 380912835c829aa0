import { type ErrorCode, type ErrorDetail, LowrankError } from '@lowrank/contracts';
import { ZodValidationException } from 'nestjs-zod';
import { type ZodError } from 'zod';

/** HTTP statuses that Fastify, its plugins and Nest answer with, as codes of the catalog. */
const codeOfStatus: Readonly<Record<number, ErrorCode>> = {
  400: 'validation_failed',
  404: 'not_found',
  405: 'not_found',
  406: 'unsupported_media_type',
  413: 'body_too_large',
  414: 'validation_failed',
  415: 'unsupported_media_type',
};

const detailsOf = (error: ZodError): ErrorDetail[] =>
  error.issues.map(({ path, message }) => ({ path: path.join('.') || '(root)', message }));

/** Turns whatever was thrown while answering a request into a public error. What is not expected says nothing of its inside. */
export function toPublicError(thrown: unknown): LowrankError {
  if (thrown instanceof LowrankError) return thrown;
  if (thrown instanceof ZodValidationException) {
    const details = detailsOf(thrown.getZodError() as ZodError);
    const fields = details.map((detail) => `${detail.path}: ${detail.message}`).join('; ');
    return new LowrankError('validation_failed', `The request is not valid: ${fields}`, details, {
      cause: thrown,
    });
  }
  if (thrown instanceof Error) {
    const { status, statusCode } = thrown as { status?: number; statusCode?: number };
    const code = codeOfStatus[status ?? statusCode ?? 500];
    if (code) return new LowrankError(code, thrown.message, undefined, { cause: thrown });
  }
  return new LowrankError(
    'internal',
    'The request failed unexpectedly; nothing is known to be wrong with it.',
    undefined,
    {
      cause: thrown,
    },
  );
}

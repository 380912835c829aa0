import { type Multipart, type MultipartFile } from '@fastify/multipart';
import { LowrankError, type UploadFields as ContractFields, uploadFieldsSchema } from '@lowrank/contracts';
import { hasLines } from '@lowrank/datasets';
import { type FastifyRequest } from 'fastify';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { type z } from 'zod';
import { toPublicError } from '../http/errors';

/** What is said of a file that is uploaded. */
export interface UploadFields extends ContractFields {
  /** Seconds after which it is deleted by itself; null: never. */
  expiresAfter?: number | null;
}

export interface Upload extends UploadFields {
  filename: string;
  bytes: number;
}

/**
 * Reads a multipart request: one part `file`, written to `target` as it arrives, and the fields of `schema`, in any order. Memory stays bounded,
 * and a file, or a line of one that has lines, is refused as soon as it is too long, not when it ends.
 * Errors: unsupported_media_type, body_too_large, dataset_invalid (a line too long), validation_failed (parts or fields).
 */
export async function receiveUpload(
  request: FastifyRequest,
  target: string,
  limits: { uploadBytes: number; lineBytes: number },
  schema: z.ZodType<UploadFields> = uploadFieldsSchema,
): Promise<Upload> {
  if (!request.isMultipart())
    throw new LowrankError('unsupported_media_type', 'An upload is multipart/form-data with a part `file`.');
  const fields: Record<string, unknown> = {};
  let file: { filename: string; bytes: number } | null = null;
  for await (const part of partsOf(request, limits.uploadBytes)) {
    if (part.type === 'field') fields[part.fieldname] = part.value;
    else if (part.fieldname === 'file' && file === null) file = await save(part, target, limits);
    else
      throw new LowrankError(
        'validation_failed',
        `There is no place for a file in part '${part.fieldname}'.`,
      );
  }
  if (file === null)
    throw new LowrankError('validation_failed', 'The upload has no part `file`.', [
      { path: 'file', message: 'is missing' },
    ]);
  const parsed = schema.safeParse(fields);
  if (!parsed.success) {
    const details = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
    throw new LowrankError('validation_failed', 'The fields of the upload are not valid.', details);
  }
  return { ...file, ...parsed.data };
}

/** The parts as they arrive, `files` of which may be files. What the parser says about a broken body becomes validation_failed. */
export async function* partsOf(
  request: FastifyRequest,
  fileSize: number,
  files = 1,
): AsyncGenerator<Multipart> {
  const parts = request.parts({ limits: { fileSize, files } });
  for (;;) {
    const next = await parts.next().catch((error: Error) => {
      throw brokenBody(error);
    });
    if (next.done) return;
    yield next.value;
  }
}

function brokenBody(error: Error): LowrankError {
  const known = toPublicError(error);
  return known.code === 'internal'
    ? new LowrankError('validation_failed', `The multipart body is broken: ${error.message}.`)
    : known;
}

const newline = 0x0a;

async function save(
  part: MultipartFile,
  target: string,
  { uploadBytes, lineBytes }: { uploadBytes: number; lineBytes: number },
): Promise<{ filename: string; bytes: number }> {
  let bytes = 0;
  let line = 1;
  /** Bytes of the line so far. */
  let held = 0;
  let isChecked: boolean | null = null;
  const checked = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      isChecked ??= hasLines(chunk, part.filename);
      for (let start = 0; isChecked && start < chunk.length;) {
        const end = chunk.indexOf(newline, start);
        held += (end < 0 ? chunk.length : end) - start;
        if (held > lineBytes)
          throw new LowrankError('dataset_invalid', `Line ${line} is longer than ${lineBytes} bytes.`, [
            { line, message: `longer than ${lineBytes} bytes` },
          ]);
        if (end < 0) break;
        line++;
        held = 0;
        start = end + 1;
      }
      yield chunk;
    }
  };
  try {
    await pipeline(part.file, checked, createWriteStream(target, { flags: 'wx', mode: 0o600 }));
  } catch (error) {
    // Only the parser's complaints are the sender's doing; a full disk is not.
    throw error === part.file.errored ? brokenBody(error as Error) : error;
  }
  if (part.file.truncated)
    throw new LowrankError('body_too_large', `The file is larger than ${uploadBytes} bytes.`);
  return { filename: cleanName(part.filename), bytes };
}

/** A file's name as it may be shown and stored: no folders, no control characters, at most 200 characters. */
export const cleanName = (name: string): string =>
  (name.split(/[/\\]/).at(-1) ?? '').replace(/\p{Cc}/gu, '').slice(0, 200) || 'dataset.jsonl';

/** The name that a file's rows are downloaded by, which are JSONL whatever was uploaded. */
export const asJsonl = (filename: string): string =>
  filename.replace(/(\.(?:csv|tsv|parquet|json))?(\.gz)?$/i, (end) =>
    end === '' || filename.toLowerCase().endsWith('.jsonl.gz') ? '' : '.jsonl',
  );

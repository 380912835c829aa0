import {
  type CreateUpload,
  type Dataset,
  datasetSchema,
  partTargetSchema,
  type UploadState,
  uploadStateSchema,
} from '@lowrank/contracts';
import { createHash } from 'node:crypto';
import { createReadStream, openAsBlob } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { CliError, exitCodes } from '../errors';
import { type Http } from './http';

/** Parts that are under way at a time, and tries of each. */
const atOnce = 3;
const tries = 4;
const targetsSchema = z.object({ parts: z.array(partTargetSchema) });

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/**
 * Uploads a file in parts. One of the same content that was left half-way, here or elsewhere, goes on. `onProgress` is told how many bytes are there.
 * Errors: those of Http; CliError when a part does not arrive.
 */
export async function uploadInParts(
  http: Http,
  path: string,
  request: CreateUpload,
  onProgress: (bytes: number) => void,
): Promise<Dataset> {
  const upload = await http.json('/api/v1/uploads', uploadStateSchema, { method: 'POST', json: request });
  const file = await openAsBlob(path);
  const rangeOf = (number: number): [number, number] => [
    (number - 1) * upload.partBytes,
    Math.min(number * upload.partBytes, upload.bytes),
  ];
  let there = upload.arrived.reduce((sum, number) => sum + rangeOf(number)[1] - rangeOf(number)[0], 0);
  onProgress(there);
  const missing = Array.from({ length: upload.partCount }, (_, i) => i + 1).filter(
    (number) => !upload.arrived.includes(number),
  );
  const work = async () => {
    for (let number = missing.shift(); number !== undefined; number = missing.shift()) {
      const [start, end] = rangeOf(number);
      await sendPart(http, upload, number, file.slice(start, end));
      onProgress((there += end - start));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return http.json(`/api/v1/uploads/${upload.id}/complete`, datasetSchema, { method: 'POST', timeoutMs: 0 });
}

/** An address is good for a quarter of an hour, so each try asks for one. */
async function sendPart(http: Http, { id }: UploadState, number: number, bytes: Blob): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const json = { numbers: [number] };
      const { parts } = await http.json(`/api/v1/uploads/${id}/parts`, targetsSchema, {
        method: 'POST',
        json,
      });
      const url = parts[0]?.url ?? '';
      if (url.startsWith('/')) await http.response(url, { method: 'PUT', bytes, timeoutMs: 0 });
      else await put(url, bytes);
      return;
    } catch (error) {
      const isLost = error instanceof CliError && error.options.exitCode === exitCodes.unreachable;
      if (!isLost || attempt === tries) throw error;
      await sleep(500 * 2 ** attempt);
    }
  }
}

/** To the object store, which must not get our key. */
async function put(url: string, body: Blob): Promise<void> {
  let response: Response;
  try {
    response = await fetch(url, { method: 'PUT', body });
  } catch (cause) {
    throw new CliError(`the object store at ${new URL(url).host} does not answer`, {
      help: 'Run the same command again: it goes on with the parts that are missing.',
      exitCode: exitCodes.unreachable,
      cause,
    });
  }
  await response.arrayBuffer();
  if (response.ok) return;
  throw new CliError(`the object store at ${new URL(url).host} answered ${response.status} to a part`, {
    help: 'Run the same command again: it goes on with the parts that are missing.',
    // Its troubles pass, and so does an address that was not used in time.
    exitCode: response.status >= 500 || response.status === 403 ? exitCodes.unreachable : exitCodes.failed,
  });
}

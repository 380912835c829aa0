// Entry of the thread that thread.ts starts: does the task in workerData, answers once, and ends.
import { LowrankError } from '@lowrank/contracts';
import { createReadStream } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { checkDataset } from './check';
import { findDuplicates } from './duplicates';
import { encodeChat } from './encode';
import { previewRows } from './preview';
import { RowError } from './row-error';
import { type ThreadReply, type ThreadRequest } from './thread';
import { encodeDataset, measureDataset } from './token-file';
import { loadChatTokenizer } from './tokenizer';

/** A conversation that every template should render; two answers, so that spans are tried too. */
const PROBE = ['Hello', 'Hi.', 'How are you?', 'Fine.'].map((content, i) => ({
  role: i % 2 === 0 ? ('user' as const) : ('assistant' as const),
  content,
}));

const read = (file: string) => createReadStream(file, { highWaterMark: 1 << 20 });

async function work(request: ThreadRequest): Promise<unknown> {
  switch (request.task) {
    case 'check': {
      const tokenizer = request.folder === undefined ? undefined : await loadChatTokenizer(request.folder);
      return checkDataset(read(request.file), {
        format: request.format,
        maxLineBytes: request.maxLineBytes,
        tokenizer,
      });
    }
    case 'tokenizer': {
      const tokenizer = await loadChatTokenizer(request.folder);
      try {
        encodeChat({ messages: PROBE }, tokenizer);
      } catch (error) {
        throw error instanceof RowError ? new LowrankError('base_model_invalid', error.message) : error;
      }
      return { vocabSize: tokenizer.vocabSize, templateSha256: tokenizer.templateSha256 };
    }
    case 'measure':
      return measureDataset(request.file, await loadChatTokenizer(request.folder), request);
    case 'duplicates': {
      const { file, format, against } = request;
      const source = { stream: read(file), format };
      const other = against && { stream: read(against.file), format: against.format };
      return findDuplicates(source, other, request.maxLineBytes);
    }
    case 'preview':
      return previewRows(request.lines, request.format, await loadChatTokenizer(request.folder));
    case 'encode':
      await encodeDataset(request.file, request.target, await loadChatTokenizer(request.folder), request);
      return null;
  }
}

function failed(error: unknown): ThreadReply {
  const { message } = error as Error;
  return error instanceof LowrankError
    ? { ok: false, code: error.code, message, details: error.details }
    : { ok: false, code: null, message: String(message) };
}

void work(workerData as ThreadRequest)
  .then((value): ThreadReply => ({ ok: true, value }), failed)
  .then((reply) => parentPort?.postMessage(reply));

// Entry of the process that prepare.ts starts: converts the file that it is told of, answers once, and ends.
import { LowrankError } from '@lowrank/contracts';
import { Worker } from 'node:worker_threads';
import { convertFile } from './convert';
import { type ConvertReply, type ConvertRequest } from './prepare';

/**
 * Ends the process when it takes more memory than it may, buffers included, which a limit of the heap does not count. In a thread,
 * because a parser that runs wild lets nothing else run in its own.
 */
function watchMemory(maxBytes: number): void {
  const watch = `setInterval(() => process.memoryUsage.rss() > ${maxBytes} && process.kill(process.pid, 'SIGKILL'), 20)`;
  new Worker(watch, { eval: true, env: {} }).unref();
}

process.once('message', (request: ConvertRequest) => {
  watchMemory(request.memoryBytes);
  void convertFile(request.source, request.target, request)
    .then(
      (file): ConvertReply => ({ file }),
      (error: Error): ConvertReply =>
        error instanceof LowrankError
          ? { code: error.code, message: error.message, details: error.details }
          : { code: null, message: String(error.message) },
    )
    .then((reply) => process.send?.(reply, () => process.exit(0)));
});

import { LowrankError } from '@lowrank/contracts';
import { type lookup as systemLookup } from 'node:dns';
import { createWriteStream } from 'node:fs';
import { type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Dispatcher, request } from 'undici';
import { type AddressRules } from './addresses';
import { checkedAgent, checkOutboundUrl } from './agent';

export interface DownloadOptions {
  rules: AddressRules;
  /** For everything from the first look-up of a name to the last byte. */
  timeoutMs: number;
  /** A longer file is refused as soon as it is known to be: by its head, or when it comes. */
  maxBytes: number;
  signal?: AbortSignal;
  /** How names become addresses; for tests. */
  lookup?: typeof systemLookup;
}

export interface Downloaded {
  bytes: number;
  /** As the server or the URL's path has it. */
  filename: string;
}

const maxRedirects = 5;
const redirects = new Set([301, 302, 303, 307, 308]);

/**
 * GETs what an http or https URL leads to into a new file. Where the URL and each redirect lead is checked, and pinned, as checkedAgent does. Nothing
 * that is ours goes along: no cookies, no credentials. What is half there stays for the caller to remove.
 * Errors: address_refused; body_too_large; download_failed: no answer in time, another status than 200, too many redirects, or one to another scheme.
 */
export async function download(url: string, target: string, options: DownloadOptions): Promise<Downloaded> {
  const { rules, timeoutMs, maxBytes, lookup } = options;
  const agent = checkedAgent(rules, lookup);
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = options.signal ? AbortSignal.any([timeout, options.signal]) : timeout;
  try {
    const { at, answer } = await follow(url, { agent, rules, signal });
    const length = Number(answer.headers['content-length'] ?? 0);
    if (length > maxBytes) {
      leave(answer.body);
      throw tooLarge(maxBytes);
    }
    let bytes = 0;
    const counted = async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        if (bytes > maxBytes) throw tooLarge(maxBytes);
        yield chunk;
      }
    };
    await pipeline(answer.body, counted, createWriteStream(target, { flags: 'wx', mode: 0o600 }), { signal });
    return { bytes, filename: filenameOf(at, answer.headers['content-disposition']) };
  } catch (error) {
    if (error instanceof LowrankError) throw error;
    // A disk that is full here is not the other server's doing.
    if (
      (error as NodeJS.ErrnoException).syscall === 'write' ||
      (error as NodeJS.ErrnoException).syscall === 'open'
    )
      throw error;
    if (options.signal?.aborted) throw error;
    const reason = timeout.aborted ? `not done after ${timeoutMs / 1000} s` : (error as Error).message;
    throw new LowrankError(
      'download_failed',
      `${hostOf(url)} did not deliver the file: ${reason}.`,
      undefined,
      { cause: error },
    );
  } finally {
    await agent.destroy();
  }
}

interface Way {
  agent: Dispatcher;
  rules: AddressRules;
  signal: AbortSignal;
}

async function follow(url: string, { agent, rules, signal }: Way) {
  let at = url;
  for (let hops = 0; hops <= maxRedirects; hops++) {
    checkOutboundUrl(at, rules);
    const answer = await request(at, {
      dispatcher: agent,
      signal,
      headers: { accept: '*/*', 'accept-encoding': 'identity' },
    });
    if (answer.statusCode === 200) return { at, answer };
    leave(answer.body);
    const { location } = answer.headers;
    if (!redirects.has(answer.statusCode) || typeof location !== 'string')
      throw new LowrankError('download_failed', `${hostOf(at)} answered with status ${answer.statusCode}.`);
    const next = URL.parse(location, at);
    if (next === null || !/^https?:$/.test(next.protocol) || next.username !== '')
      throw new LowrankError(
        'download_failed',
        `${hostOf(at)} sends on to what is no plain http or https URL.`,
      );
    at = next.href;
  }
  throw new LowrankError('download_failed', `${hostOf(url)} sends on more than ${maxRedirects} times.`);
}

/** Closes the connection of an answer that nobody reads; undici makes an error of that. */
function leave(body: Readable): void {
  body.on('error', () => undefined).destroy();
}

const tooLarge = (maxBytes: number) =>
  new LowrankError('body_too_large', `The file is larger than ${maxBytes} bytes.`);

/** Without the query, which may hold a secret. */
const hostOf = (url: string): string => new URL(url).host;

/** RFC 6266, the plain form only; else the last segment of the path. */
function filenameOf(url: string, disposition: string | string[] | undefined): string {
  const named = /filename="?([^";]+)"?/i.exec(String(disposition ?? ''))?.[1];
  const last = new URL(url).pathname.split('/').at(-1) ?? '';
  try {
    return named ?? decodeURIComponent(last);
  } catch {
    return last;
  }
}

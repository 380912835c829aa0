import { LowrankError } from '@lowrank/contracts';
import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { Agent, buildConnector, request } from 'undici';
import { type AddressRules } from './addresses';

export interface PosterOptions {
  rules: AddressRules;
  /** For everything from the look-up of the name to the last byte of the answer. */
  timeoutMs: number;
  /** Bytes of an answer's body that are read; it is thrown away. */
  bodyBytes?: number;
  /** How names become addresses; for tests. */
  lookup?: typeof systemLookup;
}

export interface Poster {
  /**
   * POSTs a body and resolves to the status of the answer; redirects are answers like any other, never followed.
   * Rejects with address_refused, or with what kept the request from being answered.
   */
  post(url: string, headers: Record<string, string>, body: string): Promise<number>;
  close(): Promise<void>;
}

const connectMs = 5000;

const refused = (what: string): LowrankError =>
  new LowrankError('address_refused', `${what} is not a public address.`);

/** Throws address_refused when a URL names, literally, an address that may not be spoken to. Names are looked at when they are used. */
export function checkOutboundUrl(url: string, rules: AddressRules): void {
  // The URL parser has turned octal, hexadecimal and short forms into the usual one.
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0 && !rules.permits(host)) throw refused(host);
  if (/(^|\.)localhost\.?$/i.test(host) && !rules.permits('127.0.0.1') && !rules.permits('::1'))
    throw refused(host);
}

/**
 * Speaks to addresses that users have given. The address that is checked is the one that is connected to: names are resolved here, once
 * a connection, and a name any of whose addresses is refused is refused. No proxy of the environment is used.
 */
export function createPoster(options: PosterOptions): Poster {
  const { rules, timeoutMs, bodyBytes = 64 * 1024, lookup = systemLookup } = options;

  const checkedLookup: LookupFunction = (hostname, lookupOptions, callback) => {
    lookup(hostname, { ...lookupOptions, all: true }, (error, found) => {
      if (error) return callback(error, '', 0);
      const addresses = found as LookupAddress[];
      const bad = addresses.find(({ address }) => !rules.permits(address));
      const [first] = addresses;
      // Not which address: what names are inside is not for users to find out.
      if (bad || !first) return callback(refused(hostname), '', 0);
      if (lookupOptions.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
  const connect = buildConnector({
    timeout: connectMs,
    lookup: checkedLookup,
  } as buildConnector.BuildOptions);
  const agent = new Agent({
    // Every request looks its name up again.
    pipelining: 0,
    connect: (connectOptions, callback) =>
      connect(connectOptions, (...result) => {
        const socket: Socket | null | undefined = result[1];
        if (!socket || rules.permits(socket.remoteAddress ?? '')) return callback(...result);
        socket.destroy();
        callback(refused(connectOptions.hostname), null);
      }),
  });

  return {
    async post(url, headers, body) {
      checkOutboundUrl(url, rules);
      const signal = AbortSignal.timeout(timeoutMs);
      const answer = await request(url, { method: 'POST', headers, body, dispatcher: agent, signal });
      let left = bodyBytes;
      for await (const chunk of answer.body) {
        left -= (chunk as Buffer).length;
        // Leaving the loop destroys the connection.
        if (left < 0) break;
      }
      return answer.statusCode;
    },
    close: () => agent.destroy(),
  };
}

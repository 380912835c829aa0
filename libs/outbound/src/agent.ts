import { LowrankError } from '@lowrank/contracts';
import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { Agent, buildConnector } from 'undici';
import { type AddressRules } from './addresses';

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
 * Connections to addresses that users have given. The address that is checked is the one that is connected to: names are resolved here, once
 * a connection, and a name any of whose addresses is refused is refused. No proxy of the environment is used. `trusted`: an origin that no user has given,
 * which may be anywhere.
 */
export function checkedAgent(
  rules: AddressRules,
  lookup: typeof systemLookup = systemLookup,
  trusted: string | null = null,
): Agent {
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
  const connectToTrusted = buildConnector({ timeout: connectMs });
  return new Agent({
    // Every request looks its name up again.
    pipelining: 0,
    connect: (connectOptions, callback) => {
      const { protocol, host = '', hostname } = connectOptions;
      if (`${protocol}//${host}` === trusted) return connectToTrusted(connectOptions, callback);
      // Addresses are not looked up, and are refused before anything is sent there.
      const literal = hostname.replace(/^\[|\]$/g, '');
      if (isIP(literal) !== 0 && !rules.permits(literal)) return callback(refused(literal), null);
      connect(connectOptions, (...result) => {
        const socket: Socket | null | undefined = result[1];
        if (!socket || rules.permits(socket.remoteAddress ?? '')) return callback(...result);
        socket.destroy();
        callback(refused(hostname), null);
      });
    },
  });
}

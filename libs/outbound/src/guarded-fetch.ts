import { type lookup as systemLookup } from 'node:dns';
import { fetch as fetchBy } from 'undici';
import { type AddressRules } from './addresses';
import { checkedAgent } from './agent';

export interface GuardedFetch {
  /** As the global one. What it is refused to connect to, at a redirect too, is the cause of its error: LowrankError address_refused. */
  fetch: typeof fetch;
  /** Ends its connections. */
  close(): Promise<void>;
}

/**
 * A `fetch` for a server that the configuration names, which may send on to others: those are checked, and pinned, as checkedAgent does.
 * `trusted`: the URL of the server itself, wherever that is. `lookup`: how names become addresses; for tests.
 */
export function guardedFetch(
  rules: AddressRules,
  trusted: string | null,
  lookup?: typeof systemLookup,
): GuardedFetch {
  const dispatcher = checkedAgent(rules, lookup, trusted && new URL(trusted).origin);
  const guarded = (input: string, init: object = {}) => fetchBy(input, { ...init, dispatcher });
  return { fetch: guarded as unknown as typeof fetch, close: () => dispatcher.destroy() };
}

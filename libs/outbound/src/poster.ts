import { type lookup as systemLookup } from 'node:dns';
import { request } from 'undici';
import { type AddressRules } from './addresses';
import { checkedAgent, checkOutboundUrl } from './agent';

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

/** Speaks to addresses that users have given, through a checkedAgent. */
export function createPoster(options: PosterOptions): Poster {
  const { rules, timeoutMs, bodyBytes = 64 * 1024, lookup } = options;
  const agent = checkedAgent(rules, lookup);
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

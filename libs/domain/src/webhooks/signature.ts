import { createHmac, randomBytes } from 'node:crypto';

/*
 * Standard Webhooks, https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: HMAC-SHA256 over
 * `<id>.<seconds>.<body>`, base64. The secret is `whsec_` and the key in base64; ours have 256 random bits.
 */
const prefix = 'whsec_';

export const makeWebhookSecret = (): string => prefix + randomBytes(32).toString('base64');

/** Headers that a delivery is sent with, at `seconds` since 1970; signed with each secret, of which a receiver needs to know one. */
export function signedHeaders(
  secrets: readonly string[],
  id: string,
  seconds: number,
  body: string,
): Record<string, string> {
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.slice(prefix.length), 'base64');
    return `v1,${createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64')}`;
  });
  return {
    'webhook-id': id,
    'webhook-timestamp': String(seconds),
    'webhook-signature': signatures.join(' '),
  };
}

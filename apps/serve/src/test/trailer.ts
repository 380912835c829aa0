import { type ChatCompletionInput, type ServeTarget, usageHeader } from '@lowrank/contracts';
import { request } from 'node:http';
import { type Served, teamId, token } from './world';

/** What a stream says after its end that it took, which fetch() does not show. `leaves`: its client does, at the first event. */
export function trailerOf(
  served: Served,
  target: ServeTarget,
  body: ChatCompletionInput,
  { leaves = false } = {},
): Promise<Record<string, number>> {
  const id = `stream-${leaves}`;
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    'x-request-id': id,
  };
  return new Promise((resolve, reject) => {
    const sent = request(`${served.url}/v1/completions`, { method: 'POST', headers }, (response) => {
      if (leaves) response.once('data', () => void served.ask('DELETE', `/v1/completions/${id}`));
      response
        .resume()
        .once('end', () =>
          resolve(JSON.parse(response.trailers[usageHeader] ?? '{}') as Record<string, number>),
        );
    });
    sent.once('error', reject).end(JSON.stringify({ teamId, target, completion: { kind: 'chat', body } }));
  });
}

import { type TeamOverview } from '@lowrank/contracts';
import { setTimeout as wait } from 'node:timers/promises';

export interface OverviewStreamOptions {
  signal: AbortSignal;
  pollMs?: number;
  keepAliveMs?: number;
}

/**
 * The overview now, and again whenever anything of it but its time has changed, as server-sent events `overview` in the format of the HTML
 * standard's event streams; a comment where there was nothing to tell for `keepAliveMs`. Has no end but the signal's.
 */
export async function* followOverview(
  look: () => Promise<TeamOverview>,
  { signal, pollMs = 2000, keepAliveMs = 15_000 }: OverviewStreamOptions,
): AsyncGenerator<string> {
  let told = '';
  let lastWrite = Date.now();
  while (!signal.aborted) {
    const overview = await look();
    const text = JSON.stringify({ ...overview, at: null });
    if (text !== told) {
      told = text;
      lastWrite = Date.now();
      yield `event: overview\ndata: ${JSON.stringify(overview)}\n\n`;
    } else if (Date.now() - lastWrite >= keepAliveMs) {
      lastWrite = Date.now();
      yield ': keep-alive\n\n';
    }
    await wait(pollMs, undefined, { signal }).catch(() => undefined);
  }
}

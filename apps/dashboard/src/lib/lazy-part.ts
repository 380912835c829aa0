import { lazy } from 'react';
import { untilLater } from './event-stream';

/** Stylesheets that did not come are asked for again. */
function reloadStyles(): void {
  for (const link of document.querySelectorAll<HTMLLinkElement>('link[rel="stylesheet"]'))
    if (link.sheet === null) link.replaceWith(link.cloneNode());
}

/**
 * What `load` loads, tried again for as long as the browser is off the network, and once more on it. Rejects as the last try did: after an update of
 * the server there may be no such file any more.
 */
export async function loadAgain<T>(load: () => Promise<T>, pause = 500): Promise<T> {
  for (let failed = 0; ;) {
    try {
      return await load();
    } catch (error) {
      if (navigator.onLine) failed += 1;
      if (failed > 1) throw error;
    }
    await untilLater(pause, new AbortController().signal);
    reloadStyles();
  }
}

/** React's `lazy` for parts of a page, which come although the network was away when they were first asked for. */
export const lazyPart: typeof lazy = (load) => lazy(() => loadAgain(load));

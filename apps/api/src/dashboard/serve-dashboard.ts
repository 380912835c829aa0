import { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { encodingFor, type Page, readPages } from './pages';

/**
 * Scripts come from here alone and none is inline. Styles may be inline: the component library writes its theme, and what depends on the
 * width of the window, into style elements. Pages talk to this server only, are framed by nobody, and submit no form by themselves.
 */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Where the API answers: what is not found there is not a page. */
const apiPath = /^\/(api|v1|docs|docs-json|metrics|health|assets)(\/|$|-)/;

/**
 * Answers with the pages of the dashboard where no route of the API does: files by their paths, and index.html for everything else that a
 * browser navigates to, since the page itself knows its addresses. They are for everybody; what they show comes from the API.
 */
export async function serveDashboard(fastify: FastifyInstance, folder: string): Promise<void> {
  const pages = await readPages(folder);
  const index = pages.get('/index.html');
  if (index === undefined) return;
  fastify.addHook('onRequest', (request, reply, done) => {
    const page = request.is404 && isRead(request) ? pageOf(request, pages, index) : null;
    if (page === null) return done();
    send(request, reply, page);
  });
}

const isRead = ({ method }: FastifyRequest) => method === 'GET' || method === 'HEAD';

function pageOf(request: FastifyRequest, pages: Map<string, Page>, index: Page): Page | null {
  const path = request.url.split('?', 1)[0] ?? '/';
  const page = pages.get(path);
  if (page !== undefined) return page;
  return isNavigation(request) && !apiPath.test(path) ? index : null;
}

/** Whether a browser is to show the answer as a page: by Fetch Metadata, or where that is not sent by what it would rather have. */
function isNavigation({ headers }: FastifyRequest): boolean {
  const mode = headers['sec-fetch-mode'];
  return mode === undefined ? /^text\/html\b/.test(headers.accept ?? '') : mode === 'navigate';
}

function send(request: FastifyRequest, reply: FastifyReply, page: Page): void {
  const encoding = encodingFor(request.headers['accept-encoding'], page);
  void reply
    .headers({
      'content-type': page.type,
      'cache-control': page.isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache',
      'content-security-policy': contentSecurityPolicy,
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'referrer-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
      vary: 'accept-encoding, sec-fetch-mode, accept',
      ...(encoding === 'identity' ? {} : { 'content-encoding': encoding }),
    })
    .send(page.encodings[encoding]);
}

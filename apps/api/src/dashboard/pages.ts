import { readdir, readFile } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';

/** A file of the dashboard as it is sent. */
export interface Page {
  type: string;
  /** Its bytes, by what they are encoded in; `identity` is always there. */
  encodings: Partial<Record<Encoding, Buffer>> & { identity: Buffer };
  /** Whether its name says what is in it, so that it never changes. */
  isImmutable: boolean;
}
export type Encoding = 'br' | 'gzip' | 'identity';

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
};
const compressed: Record<string, Encoding> = { '.br': 'br', '.gz': 'gzip' };

/**
 * What the build of the dashboard has left in a folder, by URL path, with the compressed copies that it made. A folder that does not exist
 * holds nothing. All of it stays in memory: it is small, and is asked for by every browser.
 */
export async function readPages(folder: string): Promise<Map<string, Page>> {
  const names = await readdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const pages = new Map<string, Page>();
  const known = new Set(names);
  for (const name of names) {
    const type = types[extname(name)];
    if (type === undefined) continue;
    const path = `/${name.split(sep).join('/')}`;
    const page: Page = {
      type,
      encodings: { identity: await readFile(join(folder, name)) },
      isImmutable: path.startsWith('/assets/'),
    };
    for (const [ending, encoding] of Object.entries(compressed))
      if (known.has(name + ending)) page.encodings[encoding] = await readFile(join(folder, name + ending));
    pages.set(path, page);
  }
  return pages;
}

/** Of the encodings that a page is there in, the smallest that a client takes by its Accept-Encoding (RFC 9110, 12.5.3). */
export function encodingFor(accepted: string | undefined, { encodings }: Page): Encoding {
  const weights = new Map(
    (accepted ?? '').split(',').map((part) => {
      const [name = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
      const q = parameters.find((parameter) => parameter.startsWith('q='));
      return [name, q === undefined ? 1 : Number(q.slice(2))];
    }),
  );
  const takes = (encoding: Encoding) => (weights.get(encoding) ?? weights.get('*') ?? 0) > 0;
  return (['br', 'gzip'] as const).find((one) => encodings[one] !== undefined && takes(one)) ?? 'identity';
}

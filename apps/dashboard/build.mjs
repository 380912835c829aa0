// Builds the dashboard to apps/dashboard/dist, with compressed copies beside each file, and fails when what a browser loads first, with
// whatever page it opens, is more than the limit.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'vite';
import config from './vite.config.mjs';

/** Bytes after gzip. */
const limit = 250_000;

await build({ ...config, logLevel: 'warn' });

const dist = join(config.root, 'dist');
const gzipped = new Map();
for (const name of readdirSync(dist, { recursive: true })) {
  if (!/\.(js|css|html|svg)$/.test(name)) continue;
  const bytes = readFileSync(join(dist, name));
  const gzip = gzipSync(bytes, { level: 9 });
  gzipped.set(name, gzip.length);
  writeFileSync(join(dist, `${name}.gz`), gzip);
  const options = { params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } };
  writeFileSync(join(dist, `${name}.br`), brotliCompressSync(bytes, options));
}

const manifest = JSON.parse(readFileSync(join(dist, '.vite/manifest.json'), 'utf8'));
/** The files of a chunk and of all that it imports statically. */
function filesOf(key, seen = new Set()) {
  if (seen.has(key)) return [];
  seen.add(key);
  const { file, css = [], imports = [] } = manifest[key];
  return [file, ...css, ...imports.flatMap((other) => filesOf(other, seen))];
}
const sizeOf = (keys) =>
  [...new Set(['index.html', 'theme.js', ...keys.flatMap((key) => filesOf(key))])].reduce(
    (sum, file) => sum + (gzipped.get(file) ?? 0),
    0,
  );
const entry = Object.keys(manifest).find((key) => manifest[key].isEntry);
const pages = (manifest[entry].dynamicImports ?? []).filter((key) => key.endsWith('-page.tsx'));
const sizes = pages.map((page) => ({ page, bytes: sizeOf([entry, page]) })).sort((a, b) => b.bytes - a.bytes);
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
process.stdout.write(`dashboard: ${kilobytes(sizeOf([entry]))} gzip before any page\n`);
for (const { page, bytes } of sizes) process.stdout.write(`  ${kilobytes(bytes)} with ${page}\n`);
const largest = Math.max(sizeOf([entry]), ...sizes.map(({ bytes }) => bytes));
if (largest > limit) {
  process.stderr.write(
    `The first load is ${kilobytes(largest)}; it has to be at most ${kilobytes(limit)}.\n`,
  );
  process.exitCode = 1;
}

// What it takes to refuse hostile headers of safetensors files: milliseconds, the median of five, and the memory of a process that does nothing else.
// They are meant to stay below 100 ms and 64 MB.
//
//   npm run bench:safetensors
//
// Needs the build. Writes bench/results/safetensors.json.
import { Buffer } from 'node:buffer';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lastLine, median, print, root, run, writeResults } from './results.mjs';

const reader = join(root, 'dist/libs/datasets/src/index.js');
const most = 2 ** 24;
const many = (count, one) => Array.from({ length: count }, (_, i) => one(i)).join();
const tensor = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}';
const headers = {
  'a header of 16 MiB that is one name': () => `{"${'a'.repeat(most - 10)}":0}`,
  'a shape of eight million sizes': () => `{"a":{"shape":[${'1,'.repeat(most / 2 - 20)}1]}}`,
  'a million entries that are none': () => `{${many(1_200_000, (i) => `"k${i}":0`)}}`,
  'a million of metadata': () => `{"__metadata__":{${many(1_000_000, (i) => `"k${i}":""`)}}}`,
  'nested 300,000 deep': () => `{"a":${'['.repeat(300_000)}${']'.repeat(300_000)}}`,
  'a wrong entry behind 32,000 good ones': () => `{${many(32_000, (i) => `"k${i}":${tensor}`)},"a":{}}`,
};

/** Reads the file that it is told of, in a process of its own. */
const script = `
  const { readFileSync } = require('node:fs');
  const { readSafetensorsHeader } = require(${JSON.stringify(reader)});
  const before = process.memoryUsage.rss();
  const begin = performance.now();
  readSafetensorsHeader(process.argv[1], 'file').then(
    () => { throw new Error('it was taken'); },
    (error) => {
      const ms = performance.now() - begin;
      const [, kibibytes] = /^VmHWM:\\s+(\\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
      console.log(JSON.stringify({ ms, bytes: kibibytes * 1024 - before, message: error.message }));
    },
  );`;

const folder = mkdtempSync(join(tmpdir(), 'lowrank-headers-'));
try {
  const results = {};
  for (const [name, header] of Object.entries(headers)) {
    const file = join(folder, 'a.safetensors');
    const text = Buffer.from(header());
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    writeFileSync(file, Buffer.concat([length, text]));
    const seen = Array.from({ length: 5 }, () => lastLine(run(process.execPath, ['-e', script, file])));
    const ms = median(seen.map((one) => one.ms));
    const mib = Math.max(...seen.map((one) => one.bytes)) / 2 ** 20;
    results[name] = { ms, mib, message: seen[0].message.slice(0, 100) };
    print(
      `${name.padEnd(40)} ${ms.toFixed(0).padStart(5)} ms ${mib.toFixed(1).padStart(6)} MiB   ${results[name].message}`,
    );
  }
  writeResults('safetensors', { headers: results });
} finally {
  rmSync(folder, { recursive: true });
}

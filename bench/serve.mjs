// Serving, in one run: a decode step of many rows (as bench:decode), a server over HTTP with few and with many adapters, adapters that are
// not in memory yet, and transformers + PEFT with mixed `adapter_names` on the same model.
//
//   npm run bench:serve -- [--quick] [--model 100M] [--batch 256] [--adapters 2000] [--requests 512] [--threads 2] [--seconds 20]
//
// The server is apps/serve without the API before it, over a folder of objects; requests of 32 tokens of prompt and 32 of answer keep 64
// turns busy, for `--seconds` at most each time, so that all ends within minutes on any machine. Prints each figure beside its goal. Writes bench/results/serve.json. Needs the oracle (tools/oracle/setup.sh) and `npm run build`.
import { Buffer } from 'node:buffer';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { fill, makeAdapter, measure, weightBytes } from './decode-step.mjs';
import { library, makeModel, openKernels, oracle, python, setUpOracle } from './models.mjs';
import { lastLine, measurePeak, median, print, root, run, writeResults } from './results.mjs';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    model: { type: 'string', default: '100M' },
    batch: { type: 'string' },
    adapters: { type: 'string' },
    requests: { type: 'string' },
    threads: { type: 'string', default: '2' },
    seconds: { type: 'string' },
  },
});
const { quick, model } = flags;
const batch = Number(flags.batch ?? (quick ? 32 : 256));
const many = Number(flags.adapters ?? (quick ? 40 : 2000));
const requests = Number(flags.requests ?? (quick ? 48 : 512));
const threads = Number(flags.threads);
/** Of one measurement over HTTP. */
const mostSeconds = Number(flags.seconds ?? (quick ? 5 : 20));
const few = 5;
const turns = 64;
const past = 16;
const rank = 16;
/** Of adapters over HTTP, on q_proj and v_proj alone: thousands of them are to fit the disk. */
const smallRank = 4;
/** Adapters that a server keeps in memory unless it is told otherwise. */
const keptByDefault = Math.min(64, Math.ceil(many / 2));
const promptTokens = 32;
const answerTokens = 32;
const token = 'a-token-of-this-benchmark';

const { Blobs, createObjectStore } = library('storage');
const { adapterConfig, adapterWeights, ADAPTER_CONFIG, ADAPTER_WEIGHTS } = library('training');
const { recipeSchema } = library('contracts');
const { loadChatTokenizer } = library('datasets');
const { randomIds } = library('domain');

const freePort = async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
};

/** A decode step below HTTP. */
async function steps(base) {
  const cache = base.openCache({ pageTokens: past + 1, pages: batch });
  await fill(cache, batch, past);
  const ofDtype = (dtype) => Array.from({ length: batch }, (_, seed) => makeAdapter(base, rank, seed, dtype));
  const adapters = { f32: ofDtype('f32'), bf16: ofDtype('bf16') };
  const rounds = quick ? 2 : 5;
  const { read } = measurePeak(threads);
  const single = await measure(adapters, cache, { batch: 1, past, rounds });
  const whole = await measure(adapters, cache, { batch, past, rounds });
  for (const handle of [cache, ...Object.values(adapters).flat()]) handle.close();
  return {
    ...{ batch, single, whole, read },
    share: (single.base * weightBytes(base.info)) / (read * 1e9),
    ratios: Object.fromEntries(
      Object.keys(adapters).map((dtype) => {
        const [one, each] = [whole[`one adapter, ${dtype}`], whole[`an adapter each, ${dtype}`]];
        return [dtype, { eachToOne: each / one, oneToBase: one / whole.base }];
      }),
    ),
  };
}

/** The model and `many` adapters as objects: what requests name. */
async function store(base, folder, data) {
  const blobs = new Blobs(createObjectStore({ s3: null, folder: join(data, 'objects') }));
  const files = [];
  for (const path of readdirSync(folder)) files.push({ path, ...(await blobs.putFile(join(folder, path))) });
  const { templateSha256 } = await loadChatTokenizer(folder);
  const lora = { rank: smallRank, alpha: 2 * smallRank, targets: ['q_proj', 'v_proj'] };
  const recipe = recipeSchema.parse({ lora });
  const baseModel = { name: 'bench', files, storage: recipe.base };
  const config = Buffer.from(adapterConfig(base, recipe, 'bench', 'main'));
  const targets = base.info.linears
    .filter(({ name }) => /[qv]_proj$/.test(name))
    .map(({ name }) => ({ name, rank: smallRank, scale: 2 }));
  const adapters = [];
  for (let seed = 0; seed < many; seed += 1) {
    const adapter = base.createAdapter({ targets, seed: BigInt(seed) });
    const contents = {
      [ADAPTER_CONFIG]: config,
      [ADAPTER_WEIGHTS]: adapterWeights(adapter, recipe.lora.dtype),
    };
    adapter.close();
    const its = [];
    for (const [path, content] of Object.entries(contents)) its.push({ path, ...(await blobs.put(content)) });
    adapters.push({ id: randomIds.make('version'), files: its, templateSha256 });
  }
  return { baseModel, adapters };
}

/** Prompts that share no beginning, by ids of tokens that are letters. */
const promptOf = (i) =>
  Array.from({ length: promptTokens / 2 }, (_, k) => ((i + 1) * 7919 * (k + 1)).toString(36).slice(-2)).join(
    ' ',
  );

async function ask(url, target, i, changes = {}) {
  const body = { model: 'bench', prompt: promptOf(i), max_tokens: answerTokens, temperature: 0, ...changes };
  const request = { teamId: `team_${'a'.repeat(24)}`, target, completion: { kind: 'text', body } };
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(request),
  });
  if (response.status !== 200) throw new Error(`status ${response.status}: ${await response.text()}`);
  return response;
}

let asked = 0;
/**
 * Tokens/s of `requests` answers, or of as many as are asked for within `mostSeconds`, of adapters that targetOf names, twice as many requests at a
 * time as there are turns.
 */
async function throughput(url, targetOf) {
  let next = 0;
  let tokens = 0;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: 2 * turns }, async () => {
      while (next < requests && performance.now() - started < 1000 * mostSeconds) {
        const i = next++;
        const { usage } = await (await ask(url, targetOf(i), asked++)).json();
        tokens += usage.completion_tokens;
      }
    }),
  );
  return tokens / ((performance.now() - started) / 1000);
}

/** Milliseconds until the first piece of a streamed answer, of one request at a time. */
async function firstToken(url, target) {
  const started = performance.now();
  const response = await ask(url, target, asked++, { stream: true, max_tokens: 2 });
  const reader = response.body.getReader();
  await reader.read();
  const time = performance.now() - started;
  while (!(await reader.read()).done);
  return time;
}

/** Calls `measure` with the address of a server that keeps so many adapters in memory. */
async function withServer(data, kept, measure) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = fork(join(root, 'dist/apps/serve/src/main.js'), [], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: {
      ...process.env,
      ...{ LOWRANK_DATA: data, LOWRANK_SERVE_PORT: String(port), LOWRANK_SERVE_TOKEN: token },
      ...{ LOWRANK_SERVE_RUNNING: String(turns), LOWRANK_SERVE_WAITING: String(4 * turns) },
      ...{
        LOWRANK_SERVE_ADAPTERS: String(kept),
        LOWRANK_THREADS: String(threads),
        LOWRANK_LOG_LEVEL: 'error',
      },
    },
  });
  try {
    const up = () =>
      fetch(`${url}/health`).then(
        ({ ok }) => ok,
        () => false,
      );
    while (!(await up())) {
      if (server.exitCode !== null) throw new Error('the server did not start');
      await sleep(100);
    }
    return await measure(url);
  } finally {
    if (server.exitCode === null) {
      const gone = once(server, 'exit');
      server.kill('SIGTERM');
      await gone;
    }
  }
}

async function prefetch(url, target) {
  const { status } = await fetch(`${url}/v1/prefetch`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(target),
  });
  if (status !== 204) throw new Error(`prefetch: status ${status}`);
}

async function overHttp({ baseModel, adapters }, data) {
  const bare = { baseModel, adapter: null };
  const targetOf = (i) => ({ baseModel, adapter: adapters[i % many] });
  const ofFew = (i) => targetOf(i % few);
  // Over all of them, measurement after measurement, in an order that is not the one they were loaded in.
  let turn = 0;
  const ofMany = () => targetOf(7919 * turn++);
  const rounds = quick ? 1 : 3;
  const all = await withServer(data, many, async (url) => {
    await firstToken(url, bare); // quantizes
    const cold = [];
    const warm = [];
    for (let i = 0; i < Math.min(20, many); i += 1) {
      cold.push(await firstToken(url, targetOf(i)));
      warm.push(await firstToken(url, targetOf(i)));
    }
    await throughput(url, ofFew);
    const times = { base: [], few: [], manyCold: [], many: [] };
    times.manyCold.push(await throughput(url, ofMany));
    for (let i = 0; i < many; i += 1) await prefetch(url, targetOf(i));
    for (let round = 0; round < rounds; round += 1) {
      times.base.push(await throughput(url, () => bare));
      times.few.push(await throughput(url, ofFew));
      times.many.push(await throughput(url, ofMany));
    }
    const rates = Object.fromEntries(Object.entries(times).map(([name, every]) => [name, median(every)]));
    return { tokens: rates, milliseconds: { cold: median(cold), warm: median(warm) } };
  });
  // As a server comes: what is asked for leaves when others are, and is read from the disk again.
  const evicting = await withServer(data, keptByDefault, async (url) => {
    await throughput(url, ofMany);
    const rates = [];
    for (let round = 0; round < rounds; round += 1) rates.push(await throughput(url, ofMany));
    return median(rates);
  });
  return {
    ...{ requests, turns, few, adapters: many, kept: keptByDefault, ...all },
    tokens: { ...all.tokens, evicting },
    manyToFew: all.tokens.many / all.tokens.few,
  };
}

const percent = (value) => `${Math.round(value * 100)} %`;
const rate = (value) => `${value.toFixed(1)} tokens/s`;
const times = (value) => `${value.toFixed(2)}x`;

/** What the product promises of adapters as a recipe publishes them, in bfloat16, and what was measured of it; goals of none are told for what they are. */
const figures = ({ step, http, peer }) => [
  [`step of ${batch} rows, an adapter each against one`, step.ratios.bf16.eachToOne, 0.8, times],
  ['the same of adapters in floats', step.ratios.f32.eachToOne, null, times],
  [`step of ${batch} rows, one adapter against the bare base`, step.ratios.bf16.oneToBase, 0.9, times],
  ['the same of an adapter in floats', step.ratios.f32.oneToBase, null, times],
  [`over HTTP, ${many} adapters in memory against ${few}`, http.manyToFew, 0.9, times],
  [
    `the same with ${http.kept} in memory and the others on the disk`,
    http.tokens.evicting / http.tokens.few,
    null,
    times,
  ],
  ['step of one row, share of the rate that memory is read at', step.share, 0.6, percent],
  [
    `over HTTP, ${few} adapters against transformers + PEFT (${peer.rows} rows, adapter_names)`,
    http.tokens.few / (peer.tokens / peer.seconds),
    1,
    times,
  ],
  [
    'first token of an adapter not in memory',
    http.milliseconds.cold,
    null,
    (value) => `${value.toFixed(1)} ms`,
  ],
  ['first token of one that is', http.milliseconds.warm, null, (value) => `${value.toFixed(1)} ms`],
];

function show(all) {
  for (const [name, value, goal, text] of figures(all)) {
    const beside = goal === null ? '' : `   goal ${text(goal)}: ${value >= goal ? 'met' : 'NOT met'}`;
    print(`${name.padEnd(80)} ${text(value).padStart(10)}${beside}`);
  }
  const { tokens } = all.http;
  print(
    `tokens/s over HTTP: base ${tokens.base.toFixed(1)}, ${few} adapters ${tokens.few.toFixed(1)}, ${many} ${tokens.many.toFixed(1)}, their first time ${tokens.manyCold.toFixed(1)}`,
  );
  print(
    `a step: ${rate(all.step.whole.base)} of ${batch} rows, ${rate(all.step.single.base)} of one; transformers + PEFT ${rate(all.peer.tokens / all.peer.seconds)}`,
  );
}

setUpOracle();
const work = mkdtempSync(join(tmpdir(), 'lowrank-bench-serve-'));
try {
  const { folder, base: file } = await makeModel(work, model, threads);
  const kernels = openKernels({ threads });
  const base = await kernels.openBase(file);
  const step = await steps(base);
  const data = join(work, 'data');
  const stored = await store(base, folder, data);
  const info = kernels.info;
  base.close();
  kernels.close();
  const http = await overHttp(stored, data);
  const rows = quick ? 8 : 32;
  const settings = {
    rows,
    adapters: few,
    rank: smallRank,
    prompt: promptTokens,
    answer: answerTokens,
    threads,
  };
  const args = Object.entries(settings).flatMap(([key, value]) => [`--${key}`, String(value)]);
  const measured = lastLine(run(python, [join(oracle, 'peer_serve.py'), folder, ...args]));
  const peer = { ...settings, ...measured };
  show({ step, http, peer });
  writeResults('serve', { flags, kernels: info, step, http, peer });
} finally {
  rmSync(work, { recursive: true, force: true });
}

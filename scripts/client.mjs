// Makes libs/client's types of the API's own OpenAPI description, and its dist/, which is the package. Needs dist/, where the API is compiled; no
// database is asked anything.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import openapiTS, { astToString } from 'openapi-typescript';
import ts from 'typescript';
import { root } from './aliases.mjs';

const require = createRequire(import.meta.url);
const compiled = (path) => require(join(root, 'dist', path));
require('reflect-metadata');

/** The description, by an API that is made and never listens. */
async function describe() {
  const { createApp } = compiled('apps/api/src/app.js');
  const { describeApi } = compiled('apps/api/src/http/openapi.js');
  const { loadConfig } = compiled('libs/config/src/index.js');
  const { createUnitOfWork } = compiled('libs/db/src/index.js');
  const { randomIds, systemClock } = compiled('libs/domain/src/index.js');
  const { Blobs, createObjectStore } = compiled('libs/storage/src/index.js');
  const folder = await mkdtemp(join(tmpdir(), 'lowrank-describe-'));
  const unitOfWork = createUnitOfWork('postgres://nobody@127.0.0.1:1/none');
  const store = createObjectStore({ s3: null, folder });
  const config = loadConfig({ LOWRANK_DATA: folder, LOWRANK_LOG_LEVEL: 'silent' });
  const ports = { unitOfWork, clock: systemClock, ids: randomIds };
  const app = await createApp({ config, ports, store, blobs: new Blobs(store) });
  try {
    return describeApi(app);
  } finally {
    await app.close();
    await unitOfWork.close();
    await rm(folder, { recursive: true });
  }
}

const client = join(root, 'libs/client');
const types = astToString(
  await openapiTS(JSON.parse(JSON.stringify(await describe())), {
    // What has a default may be left out of a request.
    defaultNonNullable: false,
  }),
);
await mkdir(join(client, 'src/generated'), { recursive: true });
await writeFile(join(client, 'src/generated/schema.ts'), types);

const program = ts.createProgram([join(client, 'src/index.ts')], {
  target: ts.ScriptTarget.ES2022,
  lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
  module: ts.ModuleKind.Node16,
  moduleResolution: ts.ModuleResolutionKind.Node16,
  strict: true,
  skipLibCheck: true,
  declaration: true,
  types: [],
  outDir: join(client, 'dist'),
});
await rm(join(client, 'dist'), { recursive: true, force: true });
const problems = [...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics];
for (const { messageText } of problems)
  process.stderr.write(`${ts.flattenDiagnosticMessageText(messageText, '\n')}\n`);
if (problems.length > 0) process.exitCode = 1;
else process.stdout.write('client: types and package are current\n');

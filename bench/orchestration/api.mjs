// The product's API in a process of its own, configured as it is by default.
import { join } from 'node:path';
import { createRequire } from 'node:module';
import { root } from '../results.mjs';
import { dist } from './world.mjs';

createRequire(import.meta.url)('reflect-metadata');
const { databaseUrl, folder, logLevel } = JSON.parse(process.argv[2]);
const { loadConfig } = dist('libs/config/src/index.js');
const { createUnitOfWork } = dist('libs/db/src/index.js');
const { randomIds, systemClock } = dist('libs/domain/src/index.js');
const { Blobs, createObjectStore } = dist('libs/storage/src/index.js');
const { createApp } = dist('apps/api/src/app.js');
const { traceparentNow } = dist('libs/telemetry/src/index.js');

const config = loadConfig({
  LOWRANK_DATA: join(folder, 'data'),
  DATABASE_URL: databaseUrl,
  LOWRANK_LOG_LEVEL: logLevel,
  // One key sends all of them.
  LOWRANK_REQUESTS_PER_SECOND: 'off',
  LOWRANK_IMPORT_ROOTS: root,
});
const unitOfWork = createUnitOfWork(databaseUrl, { traceparent: traceparentNow });
const store = createObjectStore({ s3: null, folder: join(folder, 'objects') });
const ports = { unitOfWork, clock: systemClock, ids: randomIds };
const app = await createApp({ config, ports, store, blobs: new Blobs(store) });
process.on('SIGTERM', async () => {
  await app.close();
  await unitOfWork.close();
  process.exit(0);
});
await app.listen(0, '127.0.0.1');
process.send(await app.getUrl());

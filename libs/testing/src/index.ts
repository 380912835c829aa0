export * from './factories';
export { codeOf, objectStoreConformance } from './object-store-conformance';
export { jobQueueConformance, type QueueUnderTest } from './job-queue-conformance';
export { freePort } from './free-port';
export { buildGpuDriver } from './gpu-driver';
export { childrenOf } from './processes';
export { seedTeam, type SeededTeam } from './seed';
export { testDatabase, type TestDatabase } from './test-database';
export {
  safetensorsBytes,
  tinyConfig,
  tinyDataset,
  tinyDecoder,
  tinyPreferences,
  tinyTemplate,
  tinyTensors,
  tinyTokenizer,
  toolTemplates,
  writeQuantizedTinyModel,
  writeTinyAdapter,
  writeTinyModel,
  type TinyTensor,
} from './tiny-model';
export { unitOfWorkConformance, type UnitOfWorkUnderTest } from './unit-of-work-conformance';

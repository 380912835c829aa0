export * from './factories';
export { codeOf, objectStoreConformance } from './object-store-conformance';
export { jobQueueConformance, type QueueUnderTest } from './job-queue-conformance';
export { testDatabase, type TestDatabase } from './test-database';
export {
  safetensorsBytes,
  tinyConfig,
  tinyDataset,
  tinyPreferences,
  tinyTemplate,
  tinyTensors,
  tinyTokenizer,
  writeTinyModel,
  type TinyTensor,
} from './tiny-model';

export {
  chooseStorage,
  ensureQuantizedBase,
  isWeights,
  loadTokens,
  modelKey,
  openQuantizedBase,
  quantizedBasePath,
  storageName,
  type StoredBase,
  type TokenCacheOptions,
} from './caches';
export { combineFolders } from './combine/folders';
export { runCombine, type RunCombineOptions } from './combine/run-combine';
export { writeGgufAdapter } from './export/gguf-adapter';
export { type GgufPrecision, writeGgufModel } from './export/gguf-model';
export { mergeFolder, type ExportProgress } from './export/merge';
export { runEvaluation, type EvaluatedVersion, type RunEvaluationOptions } from './evaluate/run-evaluation';
export { runExport, type ExportedVersion, type ExportOptions } from './export/run-export';
export { modelCard, type CardOptions } from './card';
export {
  checkpointFiles,
  checkpointFolder,
  loadCheckpoint,
  placeCheckpoint,
  saveCheckpoint,
  type Checkpoint,
} from './checkpoint';
export { isCancelled, publicError } from './errors';
export { sha256 } from './files';
export { complete, generate, greedy, type Generated, type GenerateOptions } from './generate';
export { evaluate, freshProgress, train, type Evaluation, type Progress, type TrainOptions } from './loop';
export { inTurn } from './in-turn';
export { type PairDtype } from './pair-dtype';
export {
  adapterBytes,
  adapterConfig,
  adapterWeights,
  loadAdapter,
  loadWeights,
  type StartingPoint,
} from './peft';
export { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from './peft-config';
export { openDevice } from './device';
export { computeStep, shareOf, type MicroBatchLoss, type Place, type StepWork } from './optimizer-step';
export { type JoinedRanks, type Ranks, type RankStart } from './ranks';
export { evaluationBatches, planTraining, type Plan } from './plan';
export { runTraining } from './run';
export { TrainingStopped, type RunOptions, type StopReason, type TrainedAdapter } from './run-options';
export { sampleOutputs, type Sample } from './samples';
export { learningRate, warmupSteps } from './schedule';
export { toSequences, type Sequence, type SequenceSet } from './sequences';
export { SharedBases } from './shared-bases';
export { measureSpeed } from './speed';
export { adapterSpec } from './targets';

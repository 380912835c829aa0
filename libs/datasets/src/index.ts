export { adapterFiles, type AdapterFolder, inspectAdapterFolder } from './adapter-folder';
export { hasLines } from './convert/encoding';
export { prepareDatasetFile } from './convert/prepare';
export { assertDatasetValid, checkDataset, type CheckOptions, type DatasetCheck } from './check';
export { encodeChat, type EncodedRow, tokensFormat } from './encode';
export { convertRow, detectFormat, parseRow } from './formats';
export { learntSpans, packLengths, unpackLengths } from './lengths';
export { type Line, parseLine, readLines } from './lines';
export { type ModelConfig, parseModelConfig } from './model-config';
export { inspectModelFolder, type InspectOptions, type ModelFile, type ModelFolder } from './model-folder';
export { parseConversations } from './preference';
export { readCheckpointQuantization } from './quantized-checkpoint';
export { readSafetensorsHeader, SafetensorsError, type SafetensorsEntry } from './safetensors';
export { RowError } from './row-error';
export { duplicatesFormat } from './duplicates';
export { lengthStatistics } from './statistics';
export { selectRows } from './preview';
export {
  checkDatasetFile,
  encodeDatasetFile,
  findDuplicatesInFiles,
  measureDatasetFile,
  previewInThread,
  templateOf,
  type CheckFileOptions,
} from './thread';
export { readTokenFile } from './token-file';
export { loadChatTokenizer, type ChatTokenizer, type TextStream } from './tokenizer';

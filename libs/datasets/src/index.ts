export { assertDatasetValid, checkDataset, type CheckOptions, type DatasetCheck } from './check';
export { encodeChat, type EncodedRow } from './encode';
export { convertRow, detectFormat, parseRow, RowError } from './formats';
export { type Line, parseLine, readLines } from './lines';
export { inspectModelFolder, type InspectOptions, type ModelFile, type ModelFolder } from './model-folder';
export { readSafetensorsHeader, SafetensorsError, type SafetensorsEntry } from './safetensors';
export { checkDatasetFile, encodeDatasetFile, type CheckFileOptions } from './thread';
export { readTokenFile } from './token-file';
export { loadChatTokenizer, type ChatTokenizer, type TextStream } from './tokenizer';

import { createRequire } from 'node:module';

// The package is an ES module, which Node loads from CommonJS but TypeScript does not follow here. So what is used of it is declared below.
const load = createRequire(__filename);

export interface AsyncBuffer {
  byteLength: number;
  slice(start: number, end?: number): Promise<ArrayBuffer>;
}
export interface FileMetaData {
  row_groups: { num_rows: bigint; columns: { meta_data?: { codec: string } }[] }[];
}
export interface ReadOptions {
  file: AsyncBuffer;
  metadata: FileMetaData;
  columns: string[];
  rowStart: number;
  rowEnd: number;
  compressors: Record<string, (page: Uint8Array, bytes: number) => Uint8Array>;
  parsers: { stringFromBytes(bytes: Uint8Array | undefined): unknown };
}

export const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } = load(
  'hyparquet',
) as {
  asyncBufferFromFile(path: string): Promise<AsyncBuffer>;
  parquetMetadataAsync(file: AsyncBuffer): Promise<FileMetaData>;
  /** The rows [rowStart, rowEnd) as objects of the named columns. */
  parquetReadObjects(options: ReadOptions): Promise<Record<string, unknown>[]>;
  parquetSchema(metadata: FileMetaData): { children: { element: { name: string } }[] };
};

import {
  type Dataset,
  type DatasetPreview,
  datasetPreviewSchema,
  datasetSchema,
  type DatasetStatistics,
  datasetStatisticsSchema,
  type ImportUrl,
} from '@lowrank/contracts';
import { openAsBlob } from 'node:fs';
import { stat } from 'node:fs/promises';
import { type Http } from './http';
import { sha256Of, uploadInParts } from './uploads';

const part = encodeURIComponent;

/** Longer files go up in parts, which can be taken up again. */
const inOnePiece = 64 * 2 ** 20;

export interface UploadOptions {
  /** Whose tokenizer counts; default: the oldest. */
  baseModel?: string;
  /** What it becomes a version of; default: the file's name. */
  name?: string;
  /** Of a file that goes up in parts: how many bytes are there, and in all. */
  onProgress?: (there: number, bytes: number) => void;
}

/** The part of the native API that is about datasets. Errors as in Http. */
export class DatasetsApi {
  constructor(private readonly http: Http) {}

  /** Uploads a file, which the server checks line by line. Error: dataset_invalid with the first lines at fault. */
  async upload(
    path: string,
    filename: string,
    { baseModel, name, onProgress }: UploadOptions = {},
  ): Promise<Dataset> {
    const { size: bytes } = await stat(path);
    if (bytes > inOnePiece) {
      const request = { filename, bytes, sha256: await sha256Of(path), name, baseModel };
      return uploadInParts(this.http, path, request, (there) => onProgress?.(there, bytes));
    }
    const form = new FormData();
    if (baseModel !== undefined) form.set('baseModel', baseModel);
    if (name !== undefined) form.set('name', name);
    form.set('file', await openAsBlob(path), filename);
    return this.http.json('/api/v1/files', datasetSchema, { method: 'POST', form, timeoutMs: 0 });
  }

  /** Has the server fetch the file that a URL leads to. */
  import(json: ImportUrl): Promise<Dataset> {
    return this.http.json('/api/v1/files/import', datasetSchema, { method: 'POST', json, timeoutMs: 0 });
  }

  /** `name`: the versions of one. */
  list(name?: string): AsyncGenerator<Dataset, void> {
    const query = new URLSearchParams(name === undefined ? {} : { name });
    return this.http.pages('/api/v1/files', datasetSchema, query);
  }

  /** Rows as a base model sees them; by default the oldest. */
  preview(id: string, query: { baseModel?: string; row: number; rows: number }): Promise<DatasetPreview> {
    const { baseModel, row, rows } = query;
    const base = baseModel === undefined ? '' : `&baseModel=${part(baseModel)}`;
    return this.http.json(
      `/api/v1/files/${part(id)}/preview?row=${row}&rows=${rows}${base}`,
      datasetPreviewSchema,
      { timeoutMs: 120_000 },
    );
  }

  /** Lengths and duplicates, as far as they are counted. */
  statistics(
    id: string,
    { baseModel, sequenceLength, against }: { baseModel?: string; sequenceLength: number; against?: string },
  ): Promise<DatasetStatistics> {
    const query = new URLSearchParams({
      sequenceLength: String(sequenceLength),
      ...(baseModel !== undefined && { baseModel }),
      ...(against !== undefined && { against }),
    });
    return this.http.json(`/api/v1/files/${part(id)}/statistics?${query}`, datasetStatisticsSchema, {
      timeoutMs: 60_000,
    });
  }
}

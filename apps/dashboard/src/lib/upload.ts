import { type Dataset, type UploadState } from '@lowrank/contracts';
import { api, ApiError } from './api';

const mib = 2 ** 20;
/** Files from this size on come in parts, which go on where they were left. */
export const partsFrom = 16 * mib;
/** Parts that are under way at a time, and tries of each. */
const atOnce = 3;
const tries = 4;

export interface UploadFields {
  name?: string;
  baseModel?: string;
}

/**
 * Makes a dataset of a file. `onProgress` is told the share that is there, from 0 to 1; with 1 the rows are being checked. Throws ApiError, and what
 * `signal` was aborted with. A large file that was left half-way in this browser goes on.
 */
export async function uploadDataset(
  file: File,
  fields: UploadFields,
  onProgress: (share: number) => void,
  signal: AbortSignal,
): Promise<Dataset> {
  if (file.size < partsFrom) {
    onProgress(1);
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) if (value) form.set(name, value);
    form.set('file', file);
    return api.post<Dataset>('/api/v1/files', form, signal);
  }
  const note = `lowrank-upload ${file.name} ${file.size} ${file.lastModified} ${JSON.stringify(fields)}`;
  const upload = await begun(file, fields, note, signal);
  const bytesOf = (number: number) => Math.min(upload.partBytes, file.size - (number - 1) * upload.partBytes);
  let there = upload.arrived.reduce((sum, number) => sum + bytesOf(number), 0);
  // The last step is the server's.
  const tell = () => onProgress(Math.min(0.999, there / file.size));
  tell();
  const missing = Array.from({ length: upload.partCount }, (_, i) => i + 1).filter(
    (number) => !upload.arrived.includes(number),
  );
  const work = async () => {
    for (let number = missing.shift(); number !== undefined; number = missing.shift()) {
      const start = (number - 1) * upload.partBytes;
      await sendPart(
        `/api/v1/uploads/${upload.id}/parts/${number}`,
        file.slice(start, start + bytesOf(number)),
        signal,
      );
      there += bytesOf(number);
      tell();
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  onProgress(1);
  const dataset = await api.post<Dataset>(`/api/v1/uploads/${upload.id}/complete`, undefined, signal);
  localStorage.removeItem(note);
  return dataset;
}

/** The upload of the file that this browser has begun, if the server still has it, or a new one. */
async function begun(
  file: File,
  fields: UploadFields,
  note: string,
  signal: AbortSignal,
): Promise<UploadState> {
  const id = localStorage.getItem(note);
  if (id !== null) {
    try {
      return await api.get<UploadState>(`/api/v1/uploads/${id}`, {}, signal);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
    }
  }
  const body = { filename: file.name, bytes: file.size, ...fields };
  const upload = await api.post<UploadState>('/api/v1/uploads', body, signal);
  localStorage.setItem(note, upload.id);
  return upload;
}

/** Through the API, also where the object store has an address of its own: pages speak to their own server alone. */
async function sendPart(path: string, bytes: Blob, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await api.put(path, new Blob([bytes], { type: 'application/octet-stream' }), signal);
    } catch (error) {
      const isLost = error instanceof ApiError && (error.status === 0 || error.status >= 500);
      if (!isLost || attempt === tries) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** attempt));
    }
  }
}

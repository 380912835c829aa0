import {
  type CreateUpload,
  LowrankError,
  type PartTarget,
  type Upload,
  uploadLimits,
  type UploadState,
} from '@lowrank/contracts';
import { after } from '../clock-and-ids';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { type ObjectStore, type ObjectUpload } from '../ports/object-store';
import { type UploadRecord } from '../ports/uploads';

/** How long an upload may take, and how long a URL for a part of it is good. */
const uploadMs = 24 * 3_600_000;
const urlSeconds = 15 * 60;
/** Uploads that a team may have under way. */
const maxOpen = 32;
const mib = 2 ** 20;

type UploadPorts = Ports & { store: ObjectStore };

/** Where an upload's bytes are until it is a dataset. */
export const stagedAt = ({ id, storeUpload: upload }: UploadRecord): ObjectUpload => ({
  key: `uploads/${id}`,
  upload,
});

/** Parts as small as S3 allows and a thousand of them can be, in whole MiB. */
export const partBytesOf = (bytes: number): number =>
  Math.max(uploadLimits.partBytes, Math.ceil(bytes / uploadLimits.parts / mib) * mib);

/** Bytes of a part, from 1; the last one has what is left. */
export const bytesOfPart = ({ bytes, partBytes }: Upload, number: number): number =>
  Math.min(partBytes, bytes - (number - 1) * partBytes);

/**
 * Begins a file that comes in parts, or finds the team's upload of the same content that was left half-way.
 * Errors: body_too_large, quota_exceeded when the team has too many under way.
 */
export async function beginUpload(
  { unitOfWork, clock, ids, store }: UploadPorts,
  teamId: string,
  { filename, bytes, sha256: announced, ...fields }: CreateUpload,
  maxBytes: number,
): Promise<UploadState> {
  const sha256 = announced ?? null;
  if (bytes > maxBytes)
    throw new LowrankError('body_too_large', `The file is larger than ${maxBytes} bytes.`);
  const now = clock.now();
  const open = await unitOfWork.look(({ uploads }) => uploads.list(teamId));
  const same = open.find(
    (one) =>
      sha256 !== null &&
      one.sha256 === sha256 &&
      one.bytes === bytes &&
      one.filename === filename &&
      one.expiresAt > now,
  );
  // Said again, fields count as they are said now.
  if (same !== undefined && JSON.stringify(same.fields) === JSON.stringify(fields))
    return stateOf(store, same);
  if (open.length >= maxOpen)
    throw new LowrankError('quota_exceeded', `The team has ${open.length} uploads under way.`, undefined, {
      help: 'Complete or abort some of them; what is left half-way goes by itself after a day.',
    });
  const id = ids.make('upload');
  const partBytes = partBytesOf(bytes);
  const upload: UploadRecord = {
    ...{ id, teamId, filename, bytes, sha256, fields, partBytes, partCount: Math.ceil(bytes / partBytes) },
    ...{ createdAt: now, expiresAt: after(now, uploadMs) },
    storeUpload: await store.beginParts(`uploads/${id}`),
  };
  await unitOfWork.run(({ uploads }) => uploads.insert(upload));
  return { ...upload, arrived: [] };
}

/** Error: not_found. */
export async function findUpload(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string,
  id: string,
): Promise<UploadRecord> {
  const upload = await unitOfWork.look(({ uploads }) => uploads.find(teamId, id));
  return found(upload !== null && upload.expiresAt > clock.now() ? upload : null, 'upload', id);
}

/** An upload and which of its parts are there. */
export async function stateOf(store: ObjectStore, upload: UploadRecord): Promise<UploadState> {
  const staged = stagedAt(upload);
  const parts = await store.parts(staged).catch(async (error: unknown) => {
    // Completed in the store, and not a dataset yet: all of it is there.
    const whole = await store.head(staged.key);
    if (whole?.bytes !== upload.bytes) throw error;
    return Array.from({ length: upload.partCount }, (_, i) => ({
      number: i + 1,
      bytes: bytesOfPart(upload, i + 1),
    }));
  });
  const arrived = parts.filter(({ number, bytes }) => bytes === bytesOfPart(upload, number));
  return { ...upload, arrived: arrived.map(({ number }) => number) };
}

/** Where parts go: to the object store by signed URLs, or else to `ours`. Error: validation_failed for a number that there is not. */
export function partTargets(
  { store, clock }: Pick<UploadPorts, 'store' | 'clock'>,
  upload: UploadRecord,
  numbers: number[],
  ours: (number: number) => string,
): Promise<PartTarget[]> {
  const expiresAt = after(clock.now(), urlSeconds * 1000);
  return Promise.all(
    [...new Set(numbers)].map(async (number) => {
      assertPart(upload, number);
      const bytes = bytesOfPart(upload, number);
      const signed = await store.signedPart({ ...stagedAt(upload), number }, { bytes, seconds: urlSeconds });
      return { number, bytes, url: signed ?? ours(number), expiresAt };
    }),
  );
}

export function assertPart({ partCount }: Upload, number: number): void {
  if (number > partCount)
    throw new LowrankError('validation_failed', `There is no part ${number}: the upload has ${partCount}.`);
}

/** Makes one object of the parts, and resolves to its key. Error: upload_incomplete with the parts that are missing. */
export async function assembleUpload(store: ObjectStore, upload: UploadRecord): Promise<string> {
  const { arrived } = await stateOf(store, upload);
  const staged = stagedAt(upload);
  const missing = Array.from({ length: upload.partCount }, (_, i) => i + 1).filter(
    (n) => !arrived.includes(n),
  );
  if (missing.length > 0)
    throw new LowrankError(
      'upload_incomplete',
      `Parts are missing, or not as long as they should be: ${missing.slice(0, 20).join(', ')}${missing.length > 20 ? ` and ${missing.length - 20} more` : ''}.`,
    );
  if ((await store.head(staged.key)) === null) await store.completeParts(staged);
  return staged.key;
}

/** Removes an upload and its bytes; false: it was gone. */
export async function removeUpload(
  { unitOfWork, store }: Pick<UploadPorts, 'unitOfWork' | 'store'>,
  upload: UploadRecord,
): Promise<boolean> {
  const staged = stagedAt(upload);
  // The row goes last, so that what fails half-way is found again.
  await store.abortParts(staged);
  await store.delete(staged.key);
  return unitOfWork.run(({ uploads }) => uploads.remove(upload.teamId, upload.id));
}

/** Removes uploads of all teams that were left half-way. Resolves to how many. */
export async function removeExpiredUploads(
  ports: Pick<UploadPorts, 'unitOfWork' | 'clock' | 'store'>,
  limit = 100,
): Promise<number> {
  const expired = await ports.unitOfWork.run(({ uploads }) => uploads.expired(ports.clock.now(), limit));
  for (const upload of expired) await removeUpload(ports, upload);
  return expired.length;
}

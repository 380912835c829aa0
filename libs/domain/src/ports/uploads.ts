import { type Upload, type UploadFields } from '@lowrank/contracts';

export interface UploadRecord extends Upload {
  teamId: string;
  fields: UploadFields;
  /** What the object store knows it by. */
  storeUpload: string;
}

/** Files that come in parts; what there is of their bytes is in the object store. */
export interface UploadRepository {
  insert(upload: UploadRecord): Promise<void>;
  find(teamId: string, id: string): Promise<UploadRecord | null>;
  /** Those of a team, the newest first. */
  list(teamId: string): Promise<UploadRecord[]>;
  /** false: there is none any more. */
  remove(teamId: string, id: string): Promise<boolean>;
  /** Of any teams, those whose time is over. */
  expired(now: string, limit: number): Promise<UploadRecord[]>;
}

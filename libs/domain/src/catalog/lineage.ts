import { type AdapterVersion, type VersionName } from '@lowrank/contracts';

export const versionNameOf = ({ id, adapter, number }: AdapterVersion): VersionName => ({
  versionId: id,
  adapter,
  number,
});

import { Inject, Injectable } from '@nestjs/common';
import { type Config } from '@lowrank/config';
import { type BaseModel, type ImportBaseModel, LowrankError, type StoredFile } from '@lowrank/contracts';
import { inspectModelFolder } from '@lowrank/datasets';
import { addBaseModel, blobsLock, type Ports, revisionOf } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { realpath } from 'node:fs/promises';
import { basename, join, sep } from 'node:path';
import { BLOBS, CONFIG, PORTS } from '../dependencies';
import { Staging } from '../http/staging';
import { downloadModel } from './hub';

/** Brings base models in: from a folder of this machine, or from a hub. */
@Injectable()
export class BaseModelImports {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(BLOBS) private readonly blobs: Blobs,
    private readonly staging: Staging,
  ) {}

  /**
   * Checks the folder, stores its files by content and writes the row: ready when it returns.
   * Errors: name_taken, import_path_refused, base_model_invalid, base_model_unsupported, pickle_refused, and those of downloadModel.
   */
  async import(teamId: string, { name, source }: ImportBaseModel): Promise<BaseModel> {
    const existing = await this.ports.unitOfWork.run(({ baseModels }) => baseModels.find(teamId, name));
    if (existing !== null) throw new LowrankError('name_taken', `There is a base model '${name}' already.`);
    if (source.type === 'folder') {
      const { folder, roots } = await this.allowed(source.path);
      return this.store(teamId, { name, source: basename(folder) }, folder, roots);
    }
    const { hubUrl, importNetworks } = this.config;
    return this.staging.use('import', async (folder) => {
      const { revision } = await downloadModel(source, folder, hubUrl, importNetworks);
      return this.store(teamId, { name, source: source.id, revision }, folder, []);
    });
  }

  /** The real path of a folder, if it lies under an import root. One message for all refusals: it tells nothing of what else exists. */
  private async allowed(path: string): Promise<{ folder: string; roots: string[] }> {
    const real = (path: string) => realpath(path).catch(() => null);
    const roots = (await Promise.all(this.config.importRoots.map(real))).filter((root) => root !== null);
    const folder = path.startsWith(sep) ? await real(path) : null;
    if (folder === null || !roots.some((root) => folder === root || folder.startsWith(root + sep)))
      throw new LowrankError(
        'import_path_refused',
        `'${path}' is not the absolute path of a folder under an import root (${this.config.importRoots.join(', ')}).`,
        [{ path: 'source.path', message: 'must lie under an import root' }],
      );
    return { folder, roots };
  }

  private async store(
    teamId: string,
    known: { name: string; source: string; revision?: string },
    folder: string,
    roots: string[],
  ): Promise<BaseModel> {
    const { files: found, ...facts } = await inspectModelFolder(folder, { roots });
    return this.ports.unitOfWork.sharing(blobsLock, async (lost) => {
      const files: StoredFile[] = [];
      for (const { path, bytes } of found) {
        const stored = await this.blobs.putFile(join(folder, path));
        if (stored.bytes !== bytes)
          throw new LowrankError('base_model_invalid', `${path} changed while it was imported.`);
        files.push({ path, ...stored });
      }
      lost.throwIfAborted();
      return addBaseModel(this.ports, teamId, { ...facts, revision: revisionOf(files), ...known, files });
    });
  }
}

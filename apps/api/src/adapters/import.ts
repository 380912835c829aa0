import { type Multipart } from '@fastify/multipart';
import { Inject, Injectable } from '@nestjs/common';
import { type Config } from '@lowrank/config';
import { type AdapterVersion, baseStorageSchema, LowrankError, type StoredFile } from '@lowrank/contracts';
import { adapterFiles, inspectAdapterFolder, templateOf } from '@lowrank/datasets';
import { assertAdapterFits, blobsLock, found, importVersion, type Ports } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { type FastifyRequest } from 'fastify';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { BLOBS, CONFIG, PORTS } from '../dependencies';
import { partsOf } from '../files/upload';
import { Staging } from '../http/staging';
import { fetchTokenizer } from '../preflight/tokenizer-files';

/** Files of a version that can be uploaded; nothing else is read. */
const known: readonly string[] = [adapterFiles.config, adapterFiles.weights, 'README.md'];
const pickle = /\.(bin|pt|pth|ckpt|pkl|pickle)$/;

const fieldsSchema = z.strictObject({
  baseModel: z.string().min(1).max(96),
  quantization: baseStorageSchema.shape.quantization.default('nf4'),
});
type Fields = z.output<typeof fieldsSchema>;

/** Takes a folder in PEFT's format in: to disk, checked against its base model, to the object store, then the version's row. */
@Injectable()
export class AdapterImports {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(BLOBS) private readonly blobs: Blobs,
    private readonly staging: Staging,
  ) {}

  /**
   * Errors: unsupported_media_type, body_too_large, validation_failed (parts or fields), pickle_refused, not_found (base model),
   * base_model_not_ready, and those of importVersion.
   */
  accept(teamId: string, adapter: string, request: FastifyRequest): Promise<AdapterVersion> {
    return this.staging.use('adapter', async (folder) => {
      const { fields, paths } = await this.receive(request, folder);
      const { lora, tensors } = await inspectAdapterFolder(folder);
      const baseModel = await this.ports.unitOfWork.look(async ({ baseModels }) =>
        found(await baseModels.find(teamId, fields.baseModel), 'base model', fields.baseModel, 'baseModel'),
      );
      if (baseModel.status !== 'ready')
        throw new LowrankError(
          'base_model_not_ready',
          `Base model ${baseModel.name} is ${baseModel.status}.`,
        );
      assertAdapterFits(baseModel, lora, tensors);
      const templateSha256 = await templateOf(
        await fetchTokenizer(this.blobs, baseModel, join(folder, 'tokenizer')),
      );
      return this.ports.unitOfWork.sharing(blobsLock, async (lost) => {
        const files: StoredFile[] = [];
        for (const path of paths) files.push({ path, ...(await this.blobs.putFile(join(folder, path))) });
        lost.throwIfAborted();
        const storage = { quantization: fields.quantization, doubleQuantization: true };
        const version = { adapter, baseModel, storage, lora, tensors, templateSha256, files };
        return importVersion(this.ports, teamId, version);
      });
    });
  }

  /** Parts `file`, by their names, into a folder; memory stays bounded. */
  private async receive(
    request: FastifyRequest,
    folder: string,
  ): Promise<{ fields: Fields; paths: string[] }> {
    if (!request.isMultipart())
      throw new LowrankError(
        'unsupported_media_type',
        'An adapter is imported as multipart/form-data with a part `file` for each of its files.',
      );
    const fields: Record<string, unknown> = {};
    const paths: string[] = [];
    for await (const part of partsOf(request, this.config.limits.uploadBytes, known.length)) {
      if (part.type === 'field') fields[part.fieldname] = part.value;
      else paths.push(await this.save(part, folder, paths));
    }
    const parsed = fieldsSchema.safeParse(fields);
    if (parsed.success) return { fields: parsed.data, paths: paths.sort() };
    const details = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
    throw new LowrankError('validation_failed', 'The fields of the import are not valid.', details);
  }

  private async save(
    part: Extract<Multipart, { type: 'file' }>,
    folder: string,
    before: readonly string[],
  ): Promise<string> {
    const { filename, fieldname } = part;
    if (pickle.test(filename))
      throw new LowrankError('pickle_refused', `${filename.slice(0, 200)} may be a pickle file.`);
    if (fieldname !== 'file' || !known.includes(filename) || before.includes(filename))
      throw new LowrankError(
        'validation_failed',
        `There is no place for '${filename.slice(0, 200)}' in part '${fieldname.slice(0, 200)}'; parts \`file\` are ${known.join(', ')}, each once.`,
      );
    await pipeline(part.file, createWriteStream(join(folder, filename), { flags: 'wx', mode: 0o600 }));
    if (part.file.truncated)
      throw new LowrankError(
        'body_too_large',
        `${filename} is larger than ${this.config.limits.uploadBytes} bytes.`,
      );
    return filename;
  }
}

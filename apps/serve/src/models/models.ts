import { combineSettingsSchema, LowrankError, type ServeTarget, type StoredFile } from '@lowrank/contracts';
import { loadChatTokenizer, type ChatTokenizer } from '@lowrank/datasets';
import { type ServingMemory } from '@lowrank/domain';
import { type Adapter, type Base, type Kernels } from '@lowrank/kernels';
import { type Blobs } from '@lowrank/storage';
import {
  adapterBytes,
  chooseStorage,
  combineFolders,
  inTurn,
  isWeights,
  loadAdapter,
  modelKey,
  openQuantizedBase,
  type PairDtype,
  type StoredBase,
  storageName,
} from '@lowrank/training';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormThread, vocabularyOf } from '../form/thread';
import { Batch, type RereadCounts } from '../generation/batch';
import { AdapterFiles } from './adapter-files';
import { assertAdapterRoom, assertRoom, memoryOf, type Shape, sumOf } from './room';
import { type Held, Shelf } from './shelf';

/** A base in memory with its tokenizer and an adapter of it, for as long as it is held. */
export interface Model {
  /** Generates on the base, for all who hold it. */
  batch: Batch;
  tokenizer: ChatTokenizer;
  /** Of answers that are to be JSON. */
  forms: FormThread;
  /** null: the bare base. */
  adapter: Adapter | null;
  /** Bytes that they take. */
  memory: { base: number; adapter: number };
}

interface LoadedBase {
  base: Base;
  /** What it was expected to take. */
  memory: ServingMemory;
  batch: Batch;
  tokenizer: ChatTokenizer;
  forms: FormThread;
  close(): void;
}

export interface ModelsOptions {
  kernels: Kernels;
  blobs: Blobs;
  /** Shared with the trainers of this machine: everything in it is named by its content. */
  cacheDir: string;
  /** Where files of adapters are kept, by this server alone, and how many bytes of those that nobody uses. */
  adaptersDir: string;
  diskBytes: number;
  /** Bases and adapters that stay in memory when nobody uses them. */
  keepBases: number;
  keepAdapters: number;
  /** How pairs of adapters are kept. */
  adapterDtype: PairDtype;
  /** Native memory and mapped files that bases, caches and adapters may take: what nobody uses makes room, and a base that does not fit is refused. */
  memoryBytes: number;
  shape: Shape;
}

/** Bases and adapters, fetched and opened when they are first asked for and kept for the next request. */
export class Models {
  private readonly bases: Shelf<LoadedBase>;
  private readonly adapters: Shelf<Adapter>;
  private readonly files: AdapterFiles;
  /** Since the server began, of the caches of all bases. */
  readonly rereads: RereadCounts = { tokens: 0, reused: 0 };
  /** What bases that are being opened will take. */
  private coming = 0;

  constructor(private readonly options: ModelsOptions) {
    const isFull = () => this.residentBytes + this.coming > this.options.memoryBytes;
    this.bases = new Shelf({ keep: options.keepBases, isFull });
    this.adapters = new Shelf({ keep: options.keepAdapters, isFull });
    this.files = new AdapterFiles({
      folder: options.adaptersDir,
      diskBytes: options.diskBytes,
      fetch: (folder, files) => this.fetch(folder, files),
    });
  }

  /** Whether something is being fetched or opened. */
  get loading(): boolean {
    return this.bases.opening || this.adapters.opening;
  }

  /** All that this server's models take: the files of bases, which are mapped, and what was allocated. */
  private get residentBytes(): number {
    const mapped = this.bases.values().reduce((sum, { base }) => sum + base.info.fileBytes, 0);
    return mapped + this.options.kernels.memory().currentBytes;
  }

  /** What nobody can take away now. */
  private get bytesInUse(): number {
    const bases = this.bases.held().reduce((sum, { memory }) => sum + sumOf(memory), 0);
    return this.adapters.held().reduce((sum, adapter) => sum + bytesOf(adapter), bases);
  }

  /** Of what is in memory: files and caches of bases, weights of adapters. */
  get bytes(): { bases: number; adapters: number } {
    const adapters = this.adapters.values().reduce((sum, adapter) => sum + bytesOf(adapter), 0);
    return { bases: this.residentBytes - adapters, adapters };
  }

  /** Of the caches of all bases in memory. */
  get pages(): { used: number; free: number } {
    const all = this.bases.values().map(({ batch }) => batch.load);
    const sum = (of: 'used' | 'free') => all.reduce((total, load) => total + load[of], 0);
    return { used: sum('used'), free: sum('free') };
  }

  /** Since the server began. */
  get counts() {
    const [base, adapter] = [this.bases.counts, this.adapters.counts];
    return {
      opened: { base: base.opened, adapter: adapter.opened },
      evicted: { base: base.evicted, adapter: adapter.evicted, file: this.files.evicted },
    };
  }

  /** Of files of adapters. */
  get diskBytes(): number {
    return this.files.bytes;
  }

  /** What is in memory now. */
  get loaded(): { bases: number; adapters: number } {
    return { bases: this.bases.size, adapters: this.adapters.size };
  }

  /**
   * Errors: template_mismatch when the adapter was trained with another chat template than the base has; server_memory_short when the base
   * does not fit; not_found and integrity_failed of the object store; KernelError.
   */
  async hold({ baseModel, adapter, mix }: ServeTarget): Promise<Held<Model>> {
    const key = keyOf(baseModel);
    const base = await this.bases.hold(key, () => this.openBase(baseModel));
    try {
      const { tokenizer, batch, forms } = base.value;
      const baseBytes = sumOf(base.value.memory);
      const parts = partsOf({ adapter, mix });
      if (parts.length === 0)
        return {
          value: { batch, tokenizer, forms, adapter: null, memory: { base: baseBytes, adapter: 0 } },
          release: base.release,
        };
      if (parts.some((part) => part.adapter.templateSha256 !== tokenizer.templateSha256))
        throw new LowrankError(
          'template_mismatch',
          `The adapter was trained with another chat template than ${baseModel.name} has now.`,
        );
      // What is not used makes room before more comes.
      this.bases.tidy();
      const held = await this.adapters.hold(`${key} ${nameOf(parts)}`, () =>
        mix === undefined
          ? this.openAdapter(base.value.base, (parts[0] as Part).adapter)
          : this.openMix(base.value.base, mix),
      );
      const release = () => {
        held.release();
        base.release();
      };
      const memory = { base: baseBytes, adapter: bytesOf(held.value) };
      return { value: { batch, tokenizer, forms, adapter: held.value, memory }, release };
    } catch (error) {
      base.release();
      throw error;
    }
  }

  /** The same of what is in memory; null: it is not. */
  async holdLoaded(target: ServeTarget): Promise<Held<Model> | null> {
    const key = keyOf(target.baseModel);
    const parts = partsOf(target);
    const isLoaded = parts.length === 0 || this.adapters.has(`${key} ${nameOf(parts)}`);
    return this.bases.has(key) && isLoaded ? this.hold(target) : null;
  }

  /** Files of these adapters stay on the disk, and of no others beyond what fits. */
  keepFiles(ids: Iterable<string>): void {
    this.files.pin(ids);
  }

  /** Nothing may be held any more. */
  close(): void {
    this.adapters.clear();
    this.bases.clear();
  }

  /** Opens a base once there is room for it. */
  private async openBase({ name, files, storage: asked }: ServeTarget['baseModel']): Promise<LoadedBase> {
    const { cacheDir, memoryBytes, shape } = this.options;
    const key = modelKey(files);
    const folder = join(cacheDir, 'models', key);
    await this.fetch(
      folder,
      files.filter((file) => !isWeights(file)),
    );
    const tokenizer = await loadChatTokenizer(folder);
    const storage = await chooseStorage(folder, asked);
    const stored = { key, storage, cacheDir };
    const memory = await memoryOf(folder, stored, shape);
    assertRoom(name, memory, this.bytesInUse + this.coming, memoryBytes);
    this.coming += sumOf(memory);
    try {
      this.adapters.tidy();
      this.bases.tidy();
      return await this.loadBase(folder, files, stored, tokenizer, memory);
    } finally {
      this.coming -= sumOf(memory);
    }
  }

  private async loadBase(
    folder: string,
    files: readonly StoredFile[],
    stored: StoredBase,
    tokenizer: ChatTokenizer,
    memory: ServingMemory,
  ): Promise<LoadedBase> {
    const fetchWeights = async () => {
      await this.fetch(folder, files.filter(isWeights));
      return folder;
    };
    const base = await openQuantizedBase(this.options.kernels, fetchWeights, stored);
    const batch = new Batch(base, this.options.shape.cacheTokens, this.rereads);
    const forms = new FormThread(() => vocabularyOf(tokenizer, base.info.vocab));
    return {
      ...{ base, memory, batch, tokenizer, forms },
      // Adapters are handles on their base, so those that stay in memory go first.
      close: () => {
        this.adapters.clear();
        forms.close();
        batch.close();
        base.close();
      },
    };
  }

  private async openAdapter(base: Base, adapter: Part['adapter']): Promise<Adapter> {
    return this.files.use([adapter], ([folder]) => this.load(base, folder as string));
  }

  /** Reads an adapter where there is room for it beside what is in use; what nobody uses has made room before. */
  private async load(base: Base, folder: string): Promise<Adapter> {
    const { adapterDtype, memoryBytes } = this.options;
    const bytes = await adapterBytes(folder, adapterDtype);
    assertAdapterRoom(bytes, this.bytesInUse + this.coming, memoryBytes);
    return loadAdapter(base, folder, adapterDtype);
  }

  /** Its pairs one beside the other, each times its weight: the sum of what the adapters add, as one adapter of the sum of their ranks. */
  private async openMix(base: Base, mix: readonly Part[]): Promise<Adapter> {
    const into = await mkdtemp(join(this.options.cacheDir, 'mix-'));
    try {
      const settings = { method: 'cat', weights: mix.map(({ weight }) => weight) };
      await this.files.use(
        mix.map(({ adapter }) => adapter),
        (folders) => combineFolders([...folders], combineSettingsSchema.parse(settings), into),
      );
      return await this.load(base, into);
    } finally {
      await rm(into, { recursive: true });
    }
  }

  /** Files appear whole and checked, so one that is there with its size is right. */
  private async fetch(folder: string, files: readonly StoredFile[]): Promise<void> {
    for (const { path, sha256, bytes } of files) {
      const target = join(folder, path);
      await inTurn(target, async () => {
        const found = await stat(target).catch(() => null);
        if (found?.isFile() && found.size === bytes) return;
        await this.options.blobs.fetchTo(sha256, target);
      });
    }
  }
}

type Part = NonNullable<ServeTarget['mix']>[number];

const keyOf = ({ files, storage }: ServeTarget['baseModel']): string =>
  `${modelKey(files)}-${storageName(storage)}`;

const partsOf = ({ adapter, mix }: Pick<ServeTarget, 'adapter' | 'mix'>): readonly Part[] =>
  mix ?? (adapter === null ? [] : [{ adapter, weight: 1 }]);

const nameOf = (parts: readonly Part[]): string =>
  parts.map(({ adapter, weight }) => `${adapter.id}*${weight}`).join('+');

const bytesOf = ({ tensors }: Adapter): number =>
  tensors.reduce(
    (sum, { shape, dtype }) =>
      sum + shape.reduce((product, size) => product * size, dtype === 'bf16' ? 2 : 4),
    0,
  );

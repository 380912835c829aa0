import {
  type AdapterVersion,
  type BaseModel,
  type BaseStorage,
  linearLayers,
  type LinearLayer,
  type Lora,
  LowrankError,
  recipeSchema,
  type StoredFile,
} from '@lowrank/contracts';
import { type Ports } from '../ports';
import { chooseTargets, describeProblems } from '../recipe/targets';

/** A tensor of an adapter's weights, without its numbers. */
export interface AdapterTensorFacts {
  name: string;
  dtype: string;
  shape: readonly number[];
}

const invalid = (message: string): LowrankError =>
  new LowrankError('adapter_invalid', `The adapter cannot be imported: ${message}.`);

/** dtypes that weights of adapters are read in. */
const readable = ['F32', 'F16', 'BF16'];

function* biasesOf(linears: readonly LinearLayer[], adapted: ReadonlySet<string>, { bias }: Lora) {
  if (bias === 'none') return;
  for (const linear of linears) {
    if (!linear.bias || (bias === 'lora_only' && !adapted.has(linear.name))) continue;
    yield [`${linear.name}${adapted.has(linear.name) ? '.base_layer' : ''}.bias`, [linear.out]] as const;
  }
}

/** Names and shapes that PEFT's format has for what `lora` adapts of a base model. Error: adapter_invalid. */
function expectedTensors(linears: readonly LinearLayer[], lora: Lora): Map<string, readonly number[]> {
  const { targets, problems } = chooseTargets(linears, lora);
  if (problems.length > 0) throw invalid(describeProblems(problems));
  const sizes = new Map(linears.map((linear) => [linear.name, linear]));
  const expected = new Map<string, readonly number[]>();
  for (const { name, rank, dora } of targets) {
    const { in: columns, out: rows } = sizes.get(name) as LinearLayer;
    expected.set(`${name}.lora_A.weight`, [rank, columns]);
    expected.set(`${name}.lora_B.weight`, [rows, rank]);
    if (dora) expected.set(`${name}.lora_magnitude_vector`, [rows]);
  }
  const adapted = new Set(targets.map(({ name }) => name));
  for (const [name, shape] of biasesOf(linears, adapted, lora)) expected.set(name, shape);
  return new Map([...expected].map(([name, shape]) => [`base_model.model.${name}`, shape]));
}

/** Whether weights are those that `lora` means on a base model: every tensor, with its shape, and no other. Error: adapter_invalid with the first that is not. */
export function assertAdapterFits(
  { name: base, decoder }: Pick<BaseModel, 'name' | 'decoder'>,
  lora: Lora,
  tensors: readonly AdapterTensorFacts[],
): void {
  if (decoder === null)
    throw invalid(
      `base model ${base} was imported by a release that did not keep its layers; import it again`,
    );
  const expected = expectedTensors(linearLayers(decoder), lora);
  for (const { name, dtype, shape } of tensors) {
    const wanted = expected.get(name);
    if (wanted === undefined) throw invalid(`${base} has no place for ${name.slice(0, 200)}`);
    if (wanted.join() !== shape.join())
      throw invalid(`${name} has shape [${shape.join(', ')}], ${base} needs [${wanted.join(', ')}]`);
    if (!readable.includes(dtype)) throw invalid(`${name} is ${dtype}; it has to be ${readable.join(', ')}`);
    expected.delete(name);
  }
  const [missing] = expected.keys();
  if (missing !== undefined) throw invalid(`${missing} is missing`);
}

export interface ImportedVersion {
  adapter: string;
  baseModel: BaseModel;
  /** How the base is kept for it. */
  storage: BaseStorage;
  lora: Lora;
  tensors: readonly AdapterTensorFacts[];
  /** Of the base model's chat template. */
  templateSha256: string;
  /** Stored already. */
  files: StoredFile[];
}

/**
 * Makes files in PEFT's format the next version of an adapter, which is made if need be. It has no job, no dataset, and of its recipe `lora` and `base` only.
 * Errors: adapter_invalid; conflict when the adapter belongs to another base model, or is deleted.
 */
export async function importVersion(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  { adapter, baseModel, storage, lora, tensors, templateSha256, files }: ImportedVersion,
): Promise<AdapterVersion> {
  assertAdapterFits(baseModel, lora, tensors);
  const at = clock.now();
  const [id, adapterId] = [ids.make('version'), ids.make('adapter')];
  const { id: baseId, name, revision } = baseModel;
  return unitOfWork.run(async ({ adapters, audit }) => {
    await adapters.ensure(teamId, { id: adapterId, name: adapter, baseModelName: name, at });
    const version = await adapters.publish(teamId, {
      ...{ id, at },
      manifest: {
        ...{ jobId: null, dataset: null, parents: [], adapter, templateSha256, files },
        baseModel: { id: baseId, name, revision },
        recipe: recipeSchema.parse({ lora, base: storage }),
        metrics: notMeasured,
        certificate: null,
      },
    });
    const told = { baseModel: name, files: files.map(({ path, sha256 }) => `${path} ${sha256}`) };
    await audit.add('import', { kind: 'version', id, name: `${adapter}@v${version.number}` }, told);
    return version;
  });
}

const notMeasured = {
  ...{ steps: 0, skippedSteps: 0, rollbacks: 0, trainedTokens: 0, trainLoss: null },
  ...{ evalLossBefore: null, evalLossAfter: null, evalAccuracyBefore: null, evalAccuracyAfter: null },
  ...{ seconds: 0, peakMemoryBytes: 0 },
};

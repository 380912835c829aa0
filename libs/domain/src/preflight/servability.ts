import { type Decoder, type Recipe, type Servability, type Servable } from '@lowrank/contracts';
import { type AdapterTarget, scaleOf, targetsOf } from '../recipe/targets';

/*
 * Who can load the adapter that a recipe makes, and makes of it what PEFT makes of it. The rules are those of PEFT 0.21.2, vLLM 0.11,
 * LoRAX 0.12.1 and llama.cpp at 0b03ada; docs/preflight.md says where in their sources they stand.
 */

/** What adapter_config.json says of the whole adapter, and what the recipe's layers really have. */
interface Published {
  recipe: Recipe;
  modelType: string;
  rank: number;
  alpha: number;
  /** With the ranks that are published; null: which layers there are is not known. */
  targets: AdapterTarget[] | null;
  decoder: Decoder | null;
}

/** PiSSA is published as LoRA of twice the rank. */
const rankFactor = ({ lora }: Recipe): number => (lora.init === 'pissa' ? 2 : 1);

const yes = (reason: string | null = null): Servable => ({ servable: true, reason });
const no = (reason: string): Servable => ({ servable: false, reason });
const same = (a: number, b: number): boolean => Math.abs(a / b - 1) < 1e-9;

const highestRank = ({ targets, rank }: Published): number =>
  Math.max(...(targets ?? [{ rank }]).map((target) => target.rank));

/** Whether a server that takes one scale for all layers from adapter_config.json takes the wrong one for some. */
function hasOwnScales({ recipe: { lora }, targets }: Published): boolean {
  const scale = scaleOf(lora.rank, lora.alpha, lora.rsLora);
  if (targets === null) return Object.keys({ ...lora.rankPattern, ...lora.alphaPattern }).length > 0;
  return targets.some((target) => !same(target.scale, scale));
}

/** Values of --max-lora-rank, of which the default is the third. */
const vllmRanks = [1, 8, 16, 32, 64, 128, 256, 320, 512];
const vllmDefaultRank = 16;

function byVllm(adapter: Published): Servable {
  const { lora } = adapter.recipe;
  if (lora.dora) return no('vLLM refuses DoRA');
  if (lora.bias !== 'none') return no('vLLM refuses adapters with biases');
  if (hasOwnScales(adapter))
    return no(
      'vLLM scales every layer by the same alpha and rank; rankPattern and alphaPattern give some another',
    );
  const rank = highestRank(adapter);
  const limit = vllmRanks.find((one) => one >= rank);
  if (limit === undefined) return no(`vLLM takes ranks up to 512; this adapter has ${rank}`);
  return rank > vllmDefaultRank ? yes(`start it with --max-lora-rank ${limit}`) : yes();
}

const loraxModelTypes = ['llama', 'mistral', 'qwen2', 'gemma2', 'phi3'];
/** Above this rank its kernels take one adapter after the other. */
const loraxBatchedRank = 128;
const isLoraxRank = (rank: number): boolean => rank === 8 || rank % 16 === 0;

/** Last parts of names of which LoRAX, which stacks a kind of module over all layers, gets only some layers. */
function incompleteKinds({ targets, decoder }: Published): string[] {
  if (targets === null || decoder === null) return [];
  const counts = new Map<string, number>();
  for (const { name } of targets) {
    const kind = name.slice(name.lastIndexOf('.') + 1);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].filter(([, count]) => count < decoder.layers).map(([kind]) => kind);
}

function byLorax(adapter: Published): Servable {
  const { modelType, recipe } = adapter;
  const { lora } = recipe;
  if (!loraxModelTypes.includes(modelType)) return no(`LoRAX has no model of type ${modelType}`);
  if (lora.dora) return no("LoRAX leaves out DoRA's magnitudes");
  if (lora.bias !== 'none') return no('LoRAX leaves out the biases');
  if (hasOwnScales(adapter))
    return no(
      'LoRAX scales every layer by the same alpha and rank; rankPattern and alphaPattern give some another',
    );
  const [kind] = incompleteKinds(adapter);
  if (kind !== undefined || (adapter.targets === null && lora.layers !== null))
    return no(`LoRAX leaves out what is not adapted in every layer${kind === undefined ? '' : `: ${kind}`}`);
  const ranks = new Set((adapter.targets ?? [{ rank: adapter.rank }]).map(({ rank }) => rank));
  if (ranks.size > 1) return no('LoRAX stacks all layers, and so needs one rank for all');
  const rank = highestRank(adapter);
  if (!isLoraxRank(rank))
    return no(`LoRAX pads rank ${rank} and then scales by the padded one; take 8 or a multiple of 16`);
  return rank > loraxBatchedRank
    ? yes(`above rank ${loraxBatchedRank} it computes one adapter after the other`)
    : yes();
}

const rounded = (value: number): string => String(Number(value.toPrecision(6)));

function byLlamaCpp({ recipe: { lora }, targets, alpha, rank }: Published): Servable {
  if (lora.dora) return no("convert_lora_to_gguf.py stops at DoRA's magnitudes");
  if (lora.bias !== 'none') return no('convert_lora_to_gguf.py stops at biases');
  const wanted = targets ?? [{ rank, scale: scaleOf(lora.rank, lora.alpha, lora.rsLora) }];
  if (targets === null && Object.keys(lora.alphaPattern).length > 0)
    return no('llama.cpp knows one alpha for all layers');
  // It divides the one alpha by the rank of each layer's tensors.
  const factors = wanted.map((target) => target.scale / (alpha / target.rank));
  const [factor = 1] = factors;
  if (!factors.every((one) => same(one, factor)))
    return no(
      'llama.cpp scales each layer by alpha / rank with one alpha for all; this adapter needs others',
    );
  const how = 'after convert_lora_to_gguf.py';
  return yes(
    same(factor, 1) ? how : `${how}, with --lora-scaled FILE ${rounded(factor)}: it knows no rsLoRA`,
  );
}

/** Which servers can load what `recipe` makes of a base model. `decoder` null: its layers are not known, and patterns count as if they matched. */
export function servabilityOf(
  recipe: Recipe,
  { modelType, decoder }: { modelType: string; decoder: Decoder | null },
): Servability {
  const { lora } = recipe;
  const factor = rankFactor(recipe);
  const chosen = decoder && targetsOf(decoder, lora);
  const adapter: Published = {
    recipe,
    modelType,
    decoder,
    rank: lora.rank * factor,
    alpha: lora.alpha * (lora.rsLora ? Math.sqrt(factor) : factor),
    targets: chosen && chosen.map((target) => ({ ...target, rank: target.rank * factor })),
  };
  return { peft: yes(), vllm: byVllm(adapter), lorax: byLorax(adapter), llamaCpp: byLlamaCpp(adapter) };
}

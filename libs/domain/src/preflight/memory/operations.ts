import { type Decoder, type Recipe } from '@lowrank/contracts';
import { type AdaptedLinear } from './adapter';
import { aligned, floatBytes } from './arena';
import { type Pass, writesHalves } from './pass';

// What operations take of the context's stack while they run (libs/kernels/src/native/scratch.h): its memory is that of the
// hungriest of them. Constants and sizes are those of libs/kernels/src/native/cpu/kernels/ and model/adapted_linear.cpp.

/** kGemmWorkspace of gemm.h in bytes, on the instruction set that takes most: what a thread packs operands of a product into. */
export const productWorkspaceBytes = 4 * 643_584;
/** kKeyBlock and kQueryBlock of attention.h. */
const keyBlock = 64;
const queryBlock = 48;
/** kChunkLogits, kMinChunk and kMaxChunk of step.cpp. */
const chunkLogits = 2 ** 23;
const [minChunk, maxChunk] = [64, 1024];
/** kTokens of lora.cpp; kNormRows and kNormCols of dora.cpp; kPiece of layers.cpp. */
const sumTokens = 32;
const [normRows, normCols] = [8, 512];
const piece = 2 ** 14;

export interface OperationShape {
  decoder: Decoder;
  vocab: number;
  linears: readonly AdaptedLinear[];
  recipe: Recipe;
  /** Tokens of each sequence of the batch. */
  lengths: readonly number[];
  threads: number;
  /** Elements of the adapter's gradients. */
  trained: number;
}

/**
 * gemm.h: elements of k in a deep block of a product in bf16 (two to each of kSlices · kLanes), columns of one that a thread's packed B has room for
 * (kPackedB), and columns that a task packs (kPackCols).
 */
const deepBlock = 2048;
const packedColumns = 512;
const packCols = 256;

const tokensOf = ({ lengths }: OperationShape): number => lengths.reduce((sum, length) => sum + length, 0);
/** The pass that a step or a forward pass over the whole batch is. */
export const passOf = (shape: OperationShape): Pass => ({
  decoder: shape.decoder,
  tokens: tokensOf(shape),
  compute: shape.recipe.training.compute,
  cached: false,
});
const product = ({ threads }: Pick<OperationShape, 'threads'>): number =>
  aligned(threads * productWorkspaceBytes);

/** attention_forward: keys and values of every head, packed block by block. */
function attentionForward({ decoder: { headDim, kvHeads }, lengths, threads }: OperationShape): number {
  const blocks = lengths.reduce((sum, length) => sum + Math.ceil(length / keyBlock), 0);
  const perThread = queryBlock * (2 * headDim + keyBlock + 2);
  return (
    2 * aligned(8 * (lengths.length + 1)) +
    2 * floatBytes(kvHeads * blocks * headDim * keyBlock) +
    floatBytes(threads * perThread)
  );
}

function attentionBackward(shape: OperationShape): number {
  const { headDim, heads } = shape.decoder;
  const perThread = keyBlock * 5 * headDim + queryBlock * (4 * headDim + 3 * keyBlock);
  return floatBytes(tokensOf(shape) * heads) + floatBytes(shape.threads * perThread);
}

/** head_loss: a chunk of tokens with all their logits. */
function headLoss(shape: OperationShape): number {
  const T = tokensOf(shape);
  const chunk = Math.min(
    Math.max(minChunk, Math.min(maxChunk, Math.floor(chunkLogits / shape.vocab))),
    T, // of which nearly all may have a target
  );
  return (
    floatBytes(T) +
    floatBytes(chunk * shape.decoder.hidden) +
    floatBytes(chunk * shape.vocab) +
    floatBytes(chunk) +
    product(shape)
  );
}

/** outer_sums of lora.cpp: sums of a pair's gradient along one side of the layer. */
const outerSums = (rank: number, width: number): number => floatBytes((rank + sumTokens) * width);

/** What a product with `width` columns and `depth` elements of k has of sums that wait to be rounded: gemm of gemm.h. */
function waiting(shape: OperationShape, width: number, depth: number): number {
  if (depth <= deepBlock) return 0;
  const most = shape.threads * packedColumns;
  const columns = Math.ceil(Math.ceil(width / Math.ceil(width / most)) / packCols) * packCols;
  return floatBytes(tokensOf(shape) * Math.min(columns, width));
}

/** One linear layer with its adapter, forward and backward: adapted_linear.cpp, with_terms of linear.cpp. */
function linear(
  shape: OperationShape,
  { name, rank, dora, trainsBias, in: inputs, out }: AdaptedLinear,
): number {
  const T = tokensOf(shape);
  const gemm = product(shape);
  const { dropout, init } = shape.recipe.lora;
  // A product that writes bfloat16: in_floats where there is more to come to its sums, else where they wait.
  const pass = passOf(shape);
  const forward = !writesHalves(pass, name, 'output')
    ? 0
    : dora || trainsBias
      ? floatBytes(T * out)
      : waiting(shape, out, inputs);
  const backward = !writesHalves(pass, name, 'input')
    ? 0
    : rank > 0 && dropout > 0
      ? floatBytes(T * inputs)
      : waiting(shape, inputs, out);
  if (rank === 0) return Math.max(forward, backward) + gemm;
  const pairs = init === 'pissa' ? 2 : 1; // and the pair as it began
  const outputs = floatBytes(T * out);
  const hidden = floatBytes(T * rank);
  /** Factors of pairs that ride on a product of this width. */
  const terms = (count: number, width: number) =>
    aligned(8 * Math.max(count, 1)) + count * floatBytes(rank * width);
  // DoRA without dropout keeps the gradient that goes to W beside dy; with dropout it takes products of dropped inputs.
  const through = dora && dropout === 0 ? outputs : 0;
  const dropped = dora && dropout > 0;
  const held = through + pairs * hidden;
  const steps = [
    (pairs - 1) * hidden + forward + terms(pairs, out) + gemm,
    held + (dropped ? outputs : 0) + Math.max(gemm, outerSums(rank, out), outerSums(rank, inputs)),
    held + backward + terms(dropout > 0 ? pairs - 1 : pairs, inputs) + gemm,
  ];
  if (dora) {
    steps.push(floatBytes(shape.threads * normRows * (normCols + rank)));
    steps.push(
      (dropped ? forward : 0) + outputs + (dropped ? floatBytes(T * inputs) : 0) + terms(0, out) + gemm,
    );
    steps.push(
      held +
        (dropped ? backward : 0) +
        outputs +
        (dropped ? floatBytes(T * inputs) : 0) +
        terms(1, out) +
        gemm,
    );
  }
  return Math.max(...steps);
}

/** Bytes of the stack beyond one product's workspace, which is in use whatever else is. */
export function operationMemory(shape: OperationShape): number {
  const most = Math.max(
    attentionForward(shape),
    attentionBackward(shape),
    headLoss(shape),
    aligned(8 * Math.ceil(shape.trained / piece)),
    ...shape.linears.map((one) => linear(shape, one)),
  );
  return Math.max(0, most - product(shape));
}

/** Bytes of the stack that a product takes. */
export const productMemory = product;

/** Bytes of the stack for answering a prompt of `lengths`: the same products, and attention over its keys. */
export const promptMemory = (shape: OperationShape): number =>
  Math.max(product(shape), attentionForward(shape));

/** Bytes of the stack beyond one product's workspace for measuring rows, with no gradients. */
export const evaluationOperations = (shape: OperationShape): number =>
  Math.max(product(shape), attentionForward(shape), headLoss(shape)) - product(shape);

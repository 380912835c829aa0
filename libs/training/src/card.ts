import { type Manifest } from '@lowrank/contracts';
import { type BaseInfo } from '@lowrank/kernels';

export type CardOptions = Pick<Manifest, 'adapter' | 'recipe' | 'metrics' | 'templateSha256'> & {
  dataset: { sha256: string };
  /** The adapter that training started from. */
  initFrom: { name: string } | null;
  base: Pick<BaseInfo, 'quantization' | 'prequantized'>;
  /** As in adapter_config.json: `owner/name` on a hub, or a folder's name. */
  source: string;
  revision: string;
};

const HUB_ID = /^[A-Za-z0-9][\w.-]*\/[\w.-]+$/;

const round = (value: number | null): string => (value === null ? '–' : value.toFixed(4));

const units = {
  sft: { loss: 'nats a token', accuracy: 'tokens predicted' },
  dpo: { loss: 'DPO, a pair', accuracy: 'pairs ranked right' },
  orpo: { loss: 'ORPO, a pair', accuracy: 'pairs ranked right' },
};

function metricsTable({ metrics, recipe: { objective }, initFrom }: CardOptions): string {
  const { loss, accuracy } = units[objective.type];
  return [
    `| | ${initFrom === null ? 'base' : 'start'} | adapter |`,
    '| --- | --- | --- |',
    `| held-out loss (${loss}) | ${round(metrics.evalLossBefore)} | ${round(metrics.evalLossAfter)} |`,
    `| held-out accuracy (${accuracy}) | ${round(metrics.evalAccuracyBefore)} | ${round(metrics.evalAccuracyAfter)} |`,
    '',
    `Training loss ${round(metrics.trainLoss)} over the last tenth of ${metrics.steps} steps; ${metrics.trainedTokens} tokens trained on.`,
  ].join('\n');
}

const NAMES = { nf4: 'NF4', fp4: 'FP4', int8: 'int8', bf16: 'bfloat16', f32: 'float32' } as const;

/** In what the base's linear layers were kept, which may be other than the recipe asked for. */
function baseStorage({
  quantization: { format, doubleQuantization },
  prequantized,
}: CardOptions['base']): string {
  return `${NAMES[format]}${doubleQuantization ? ' with double quantization' : ''}${prequantized ? ', as the checkpoint came' : ''}`;
}

/**
 * README.md of a version, a model card as the hub reads it. Holds no times, so that equal runs give equal bytes.
 */
export function modelCard(options: CardOptions): string {
  const { adapter, source, revision, dataset, initFrom, base, recipe, templateSha256 } = options;
  const isQuantized = base.quantization.format !== 'bf16' && base.quantization.format !== 'f32';
  const front = [
    '---',
    ...(HUB_ID.test(source) ? [`base_model: ${source}`] : []),
    'library_name: peft',
    'pipeline_tag: text-generation',
    'tags:',
    '- lora',
    ...(isQuantized ? ['- qlora'] : []),
    '- lowrank',
    '---',
  ].join('\n');
  return `${front}

# ${adapter}

A LoRA adapter for \`${source}\` (revision \`${revision}\`), trained with ${isQuantized ? 'QLoRA' : 'LoRA'} by Lowrank${initFrom === null ? '' : `, starting from the weights of ${initFrom.name}`}.

## Results

${metricsTable(options)}

## Use

\`\`\`python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(${JSON.stringify(source)})
model = PeftModel.from_pretrained(model, "path/of/this/folder")
tokenizer = AutoTokenizer.from_pretrained(${JSON.stringify(source)})
\`\`\`

## How it was made

The base's linear layers were kept in ${baseStorage(base)}.

Dataset SHA-256 \`${dataset.sha256}\`; chat template SHA-256 \`${templateSha256}\`. This recipe, base${initFrom === null ? '' : ', start'} and dataset give the same
weights again, byte for byte, on a machine of the same instruction set.

\`\`\`json
${JSON.stringify(recipe, null, 2)}
\`\`\`
`;
}

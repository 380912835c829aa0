import { type Manifest, type Recipe, type VersionMetrics } from '@lowrank/contracts';

export type CardOptions = Pick<Manifest, 'adapter' | 'recipe' | 'metrics' | 'templateSha256'> & {
  dataset: { sha256: string };
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

function metricsTable(metrics: VersionMetrics, objective: Recipe['objective']): string {
  const { loss, accuracy } = units[objective.type];
  return [
    '| | base | adapter |',
    '| --- | --- | --- |',
    `| held-out loss (${loss}) | ${round(metrics.evalLossBefore)} | ${round(metrics.evalLossAfter)} |`,
    `| held-out accuracy (${accuracy}) | ${round(metrics.evalAccuracyBefore)} | ${round(metrics.evalAccuracyAfter)} |`,
    '',
    `Training loss ${round(metrics.trainLoss)} over the last tenth of ${metrics.steps} steps; ${metrics.trainedTokens} tokens trained on.`,
  ].join('\n');
}

/**
 * README.md of a version, a model card as the hub reads it. Holds no times, so that equal runs give equal bytes.
 */
export function modelCard({
  adapter,
  source,
  revision,
  dataset,
  recipe,
  metrics,
  templateSha256,
}: CardOptions): string {
  const front = [
    '---',
    ...(HUB_ID.test(source) ? [`base_model: ${source}`] : []),
    'library_name: peft',
    'pipeline_tag: text-generation',
    'tags:',
    '- lora',
    '- qlora',
    '- lowrank',
    '---',
  ].join('\n');
  return `${front}

# ${adapter}

A LoRA adapter for \`${source}\` (revision \`${revision}\`), trained with QLoRA by Lowrank.

## Results

${metricsTable(metrics, recipe.objective)}

## Use

\`\`\`python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(${JSON.stringify(source)})
model = PeftModel.from_pretrained(model, "path/of/this/folder")
tokenizer = AutoTokenizer.from_pretrained(${JSON.stringify(source)})
\`\`\`

## How it was made

Dataset SHA-256 \`${dataset.sha256}\`; chat template SHA-256 \`${templateSha256}\`. This recipe, base and dataset give the same
weights again, byte for byte, on a machine of the same instruction set.

\`\`\`json
${JSON.stringify(recipe, null, 2)}
\`\`\`
`;
}

import { type Adapter, type AdapterVersion } from '@lowrank/contracts';

export interface CardFacts {
  adapter: Adapter;
  /** The team's name, which is the owner in `owner/name`. */
  team: string;
  /** Of the base model: `owner/name` on a hub, or a folder's name. */
  source: string;
  /** The newest first. */
  versions: AdapterVersion[];
}

/** Versions that the card tells of; the list of versions has all. */
const shownVersions = 20;
const figure = (value: number | null): string => value?.toFixed(4) ?? '–';

function versionTable({ adapter, versions }: CardFacts): string {
  const rows = versions.slice(0, shownVersions).map(({ number, metrics, recipe, createdAt }) => {
    const aliases = adapter.aliases
      .filter((alias) => alias.version === number)
      .map(({ name }) => `\`${name}\``);
    return `| v${number} | ${aliases.join(', ')} | ${recipe.objective.type} | ${figure(metrics.trainLoss)} | ${figure(metrics.evalLossBefore)} | ${figure(metrics.evalLossAfter)} | ${createdAt.slice(0, 10)} |`;
  });
  return [
    '| version | aliases | objective | training loss | held-out loss, before | held-out loss, after | published |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

/** Where a version comes from. */
function lineage({ baseModel, dataset, jobId, revision, templateSha256, recipe }: AdapterVersion): string {
  const { lora, training, optimizer } = recipe;
  return [
    '| | |',
    '| --- | --- |',
    `| base model | ${baseModel.name}, revision \`${baseModel.revision}\` |`,
    `| dataset | ${dataset === null ? 'not known: it was imported' : `SHA-256 \`${dataset.sha256}\``} |`,
    `| chat template | SHA-256 \`${templateSha256}\` |`,
    `| job | ${jobId === null ? 'none' : `\`${jobId}\``} |`,
    `| commit | \`${revision}\` |`,
    `| recipe | ${jobId === null ? `rank ${lora.rank}, alpha ${lora.alpha} |` : `rank ${lora.rank}, alpha ${lora.alpha}, learning rate ${optimizer.learningRate}, ${training.epochs} epochs, sequences of ${training.sequenceLength} tokens, seed ${training.seed} |`}`,
  ].join('\n');
}

function use({ adapter, team, source }: CardFacts): string {
  const name = JSON.stringify(`${team}/${adapter.name}`);
  return `\`\`\`python
# HF_ENDPOINT is this server's address and HF_TOKEN an API key of it.
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(${JSON.stringify(source)})
model = PeftModel.from_pretrained(model, ${name})
\`\`\`

\`\`\`
lowrank pull ${adapter.name}
lowrank chat --adapter ${adapter.name}
\`\`\``;
}

/** The card of an adapter about which nobody has written one: Markdown made from its versions, their metrics and where they come from. */
export function generateCard(facts: CardFacts): string {
  const { adapter, source, versions } = facts;
  const [newest] = versions;
  const tags = adapter.tags.map((tag) => `\`${tag}\``).join(' ');
  const paragraphs = [
    `# ${adapter.name}`,
    adapter.description || `A LoRA adapter for \`${source}\`.`,
    tags,
    ...(newest
      ? [
          '## Versions',
          versionTable(facts),
          '## Use',
          use(facts),
          `## Where v${newest.number} comes from`,
          lineage(newest),
        ]
      : ['No version has been published yet.']),
  ];
  return `${paragraphs.filter(Boolean).join('\n\n')}\n`;
}

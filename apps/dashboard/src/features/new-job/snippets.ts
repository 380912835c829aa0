import { type CreateJobInput } from '@lowrank/contracts';
import { type SnippetTab } from '../../components/snippet';
import { toYaml } from '../../lib/yaml';

/** A text as one word of a POSIX shell. */
const word = (text: string): string =>
  /^[\w./@:=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

/** The same request in the ways that people send it from elsewhere. */
export function snippetsOf(request: CreateJobInput, url: string): SnippetTab[] {
  const { baseModel, dataset, validationDataset, adapter, initFrom, recipe = {}, metadata } = request;
  const { priority, placement, notBefore, deadline } = request;
  const json = JSON.stringify(request, null, 2);
  const hasRecipe = Object.keys(recipe).length > 0;
  const options = [
    ...(initFrom ? [`--from ${word(initFrom)}`] : [`--base ${word(baseModel)}`]),
    `--adapter ${word(adapter)}`,
    ...(hasRecipe ? ['--recipe recipe.json'] : []),
    ...(validationDataset ? [`--validation ${validationDataset}`] : []),
    ...(priority ? [`--priority ${priority}`] : []),
    ...(placement?.deviceClasses ? [`--device ${placement.deviceClasses.map(word).join(' ')}`] : []),
    ...(placement?.memoryBytes ? [`--memory ${placement.memoryBytes / 1e9}`] : []),
    ...(notBefore ? [`--not-before ${notBefore}`] : []),
    ...(deadline ? [`--deadline ${deadline}`] : []),
    '--watch',
  ];
  const scheduling = { priority, placement, 'start time': notBefore, deadline };
  const unsaid = Object.entries(scheduling).flatMap(([name, value]) => (value ? [name] : []));
  const python = JSON.stringify(recipe, null, 4)
    .replaceAll(/\btrue\b/g, 'True')
    .replaceAll(/\bfalse\b/g, 'False')
    .replaceAll(/\bnull\b/g, 'None')
    .replaceAll('\n', '\n    ');
  return [
    {
      label: 'curl',
      code: `curl -H "Authorization: Bearer $LOWRANK_API_KEY" -H 'Content-Type: application/json' \\
  ${url}/api/v1/jobs -d ${word(json)}`,
    },
    {
      label: 'openai',
      code: `${unsaid.length > 0 ? `# OpenAI's API has no ${unsaid.join(', ')}: the job goes without.\n` : ''}from openai import OpenAI

client = OpenAI(base_url="${url}/v1", api_key="lrk_…")
job = client.fine_tuning.jobs.create(
    model=${JSON.stringify(initFrom ?? baseModel)},
    training_file=${JSON.stringify(dataset)},
${validationDataset ? `    validation_file=${JSON.stringify(validationDataset)},\n` : ''}    suffix=${JSON.stringify(adapter)},${metadata ? `\n    metadata=${JSON.stringify(metadata)},` : ''}${hasRecipe ? `\n    extra_body={"qlora": ${python}},` : ''}
)
print(job.id)`,
    },
    {
      label: 'CLI',
      code: `${hasRecipe ? `cat > recipe.json <<'END'\n${JSON.stringify(recipe, null, 2)}\nEND\n` : ''}lowrank submit ${dataset} ${options.join(' ')}`,
    },
    {
      label: 'YAML',
      code: `# Kept as job.yaml, it is submitted by: lowrank submit job.yaml --watch\n${toYaml(request)}`,
    },
    { label: 'JSON', code: json },
  ];
}

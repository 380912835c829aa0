/** What names a version to programs. */
export interface SnippetTarget {
  /** Address of this installation. */
  url: string;
  /** Team that the adapter is of, and whether that is one's own. */
  owner: string;
  isOwn: boolean;
  adapter: string;
  /** `v3`, or an alias. */
  ref: string;
  /** Name of the base model, as this installation knows it. */
  baseModel: string;
}

/** The same version in the ways that people use it: each runs as it stands once the key is set. */
export function snippetsOf(target: SnippetTarget): { label: string; code: string }[] {
  const { url, owner, isOwn, adapter, ref, baseModel } = target;
  const repo = `${owner}/${adapter}`;
  const model = isOwn ? `${adapter}@${ref}` : `${repo}@${ref}`;
  return [
    {
      label: 'curl',
      code: `export KEY=lrk_…
curl ${url}/v1/chat/completions \\
  -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
  -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello"}]}'`,
    },
    {
      label: 'OpenAI',
      code: `from openai import OpenAI

client = OpenAI(base_url="${url}/v1", api_key="lrk_…")
answer = client.chat.completions.create(
    model="${model}",
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)`,
    },
    {
      label: 'PEFT',
      code: `# export HF_ENDPOINT=${url} HF_TOKEN=lrk_…
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("${owner}/${baseModel}")
model = PeftModel.from_pretrained(base, "${repo}", revision="${ref}")
tokenizer = AutoTokenizer.from_pretrained("${owner}/${baseModel}")`,
    },
    {
      label: 'vLLM',
      code: `export HF_ENDPOINT=${url} HF_TOKEN=lrk_…
npx lowrank pull ${isOwn ? adapter : repo}@${ref} ./${adapter}
vllm serve ${owner}/${baseModel} --enable-lora --lora-modules ${adapter}=./${adapter}`,
    },
    {
      label: 'CLI',
      code: `export LOWRANK_URL=${url} LOWRANK_API_KEY=lrk_…
npx lowrank chat --adapter ${isOwn ? adapter : repo}@${ref}
npx lowrank pull ${isOwn ? adapter : repo}@${ref} ./${adapter}      # a folder that PEFT loads`,
    },
  ];
}

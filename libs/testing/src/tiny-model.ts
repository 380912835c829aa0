import { type Decoder } from '@lowrank/contracts';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Characters that GPT-2's byte-level vocabularies write the bytes 0 … 255 with. */
function byteCharacters(): string[] {
  const visible = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let hidden = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(visible(byte) ? byte : 256 + hidden++));
}

const specials = ['<|bos|>', '<|im_start|>', '<|im_end|>'];
const characters = byteCharacters();

export const tinyConfig = {
  model_type: 'llama',
  vocab_size: characters.length + specials.length,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
};

/** What an import says of that configuration with the weights of writeTinyModel. */
export const tinyDecoder: Decoder = {
  prefix: 'model.',
  layers: tinyConfig.num_hidden_layers,
  hidden: tinyConfig.hidden_size,
  intermediate: tinyConfig.intermediate_size,
  heads: tinyConfig.num_attention_heads,
  kvHeads: tinyConfig.num_key_value_heads,
  headDim: tinyConfig.hidden_size / tinyConfig.num_attention_heads,
  tiedEmbeddings: tinyConfig.tie_word_embeddings,
  fused: false,
  qkNorms: false,
  outputNorms: false,
  biases: { qkv: false, o: false, mlp: false },
  ropes: 1,
  dtype: 'F32',
  quantization: null,
};

export const tinyTemplate =
  "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}" +
  '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}';

const shortTools =
  '{% if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool.function.name }} {% endfor %}<|im_end|>\n{% endif %}';
const turnsWith = (calls: string): string =>
  `${shortTools}{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content or '' }}${calls}<|im_end|>\n{% endfor %}` +
  '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}';
/** Templates that show functions by their names, and write calls as models of Hermes and Qwen do, and as those of Llama 3. */
export const toolTemplates = {
  hermes: turnsWith(
    '{% for call in message.tool_calls or [] %}{% if not loop.first or message.content %}\n{% endif %}<tool_call>\n' +
      '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n</tool_call>{% endfor %}',
  ),
  llama3: turnsWith(
    '{% if message.tool_calls %}{% if message.tool_calls | length != 1 %}{{ raise_exception("one call at a time") }}{% endif %}' +
      '{"name": "{{ message.tool_calls[0].function.name }}", "parameters": {{ message.tool_calls[0].function.arguments | tojson }}}{% endif %}',
  ),
};

/** A tokenizer with one token a byte and the special tokens of ChatML. */
export const tinyTokenizer = {
  version: '1.0',
  added_tokens: specials.map((content, i) => ({
    id: characters.length + i,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })),
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: {
    type: 'BPE',
    vocab: Object.fromEntries(characters.map((character, i) => [character, i])),
    merges: [],
  },
};

export interface TinyTensor {
  shape: number[];
  values: Float32Array | Int8Array;
}

/** Numbers in [−1, 1) of a fixed sequence (xorshift32). */
function numbers(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state / 2 ** 31;
  };
}

/** Random weights of a llama of tinyConfig. */
export function tinyTensors(seed = 1): Record<string, TinyTensor> {
  const next = numbers(seed);
  const tensors: Record<string, TinyTensor> = {};
  const { hidden_size: d, intermediate_size: f, vocab_size: vocab, num_hidden_layers: layers } = tinyConfig;
  const add = (name: string, shape: number[], scale: number, centre = 0) => {
    const length = shape.reduce((product, size) => product * size, 1);
    tensors[name] = { shape, values: Float32Array.from({ length }, () => centre + scale * next()) };
  };
  add('model.embed_tokens.weight', [vocab, d], 0.5);
  for (let layer = 0; layer < layers; layer += 1) {
    const prefix = `model.layers.${layer}`;
    for (const norm of ['input_layernorm', 'post_attention_layernorm'])
      add(`${prefix}.${norm}.weight`, [d], 0.1, 1);
    for (const [name, out] of [
      ['q_proj', d],
      ['k_proj', d / 2],
      ['v_proj', d / 2],
      ['o_proj', d],
    ] as const)
      add(`${prefix}.self_attn.${name}.weight`, [out, d], 0.3);
    add(`${prefix}.mlp.gate_proj.weight`, [f, d], 0.3);
    add(`${prefix}.mlp.up_proj.weight`, [f, d], 0.3);
    add(`${prefix}.mlp.down_proj.weight`, [d, f], 0.3);
  }
  add('model.norm.weight', [d], 0.1, 1);
  return tensors;
}

/** A safetensors file of float32 and int8 tensors. */
export function safetensorsBytes(tensors: Record<string, TinyTensor>): Buffer {
  const header: Record<string, unknown> = {};
  let at = 0;
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    header[name] = {
      dtype: values instanceof Int8Array ? 'I8' : 'F32',
      shape,
      data_offsets: [at, at + values.byteLength],
    };
    at += values.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([
    size,
    json,
    ...Object.values(tensors).map(({ values }) => Buffer.from(values.buffer)),
  ]);
}

/** Writes a random llama of 40,000 parameters with tokenizer and chat template as a Hugging Face folder. */
export async function writeTinyModel(folder: string, seed = 1): Promise<void> {
  await mkdir(folder, { recursive: true });
  const files: Record<string, string | Buffer> = {
    'config.json': JSON.stringify(tinyConfig),
    'generation_config.json': JSON.stringify({ eos_token_id: characters.length + 2 }),
    'tokenizer.json': JSON.stringify(tinyTokenizer),
    'tokenizer_config.json': JSON.stringify({
      bos_token: '<|bos|>',
      eos_token: '<|im_end|>',
      chat_template: tinyTemplate,
    }),
    'model.safetensors': safetensorsBytes(tinyTensors(seed)),
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
}

/** The same model as bitsandbytes would save it in int8: rows of codes, and beside them what the code 127 of a row stands for. */
export async function writeQuantizedTinyModel(folder: string, seed = 1): Promise<void> {
  await writeTinyModel(folder, seed);
  const tensors = tinyTensors(seed);
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    if (!name.endsWith('_proj.weight')) continue;
    const [out = 0, inputs = 0] = shape;
    const scales = Float32Array.from({ length: out }, (_, row) =>
      Math.max(...values.subarray(row * inputs, (row + 1) * inputs).map(Math.abs)),
    );
    const codes = Int8Array.from(values, (value, i) =>
      Math.round((127 * value) / (scales[Math.floor(i / inputs)] ?? NaN)),
    );
    tensors[name] = { shape, values: codes };
    tensors[name.replace('.weight', '.SCB')] = { shape: [out], values: scales };
  }
  await writeFile(join(folder, 'model.safetensors'), safetensorsBytes(tensors));
  const quantization = { quant_method: 'bitsandbytes', load_in_8bit: true, load_in_4bit: false };
  await writeFile(
    join(folder, 'config.json'),
    JSON.stringify({ ...tinyConfig, quantization_config: quantization }),
  );
}

/** Lines of a chat dataset: sums, whose answers a model can learn. */
export function tinyDataset(rows: number): string {
  return Array.from({ length: rows }, (_, i) => {
    const [a, b] = [(i * 7) % 10, (i * 3 + 1) % 10];
    const messages = [
      { role: 'user', content: `${a}+${b}` },
      { role: 'assistant', content: `It is ${a + b}.` },
    ];
    return `${JSON.stringify({ messages })}\n`;
  }).join('');
}

/** Lines of a preference dataset: a sum stated is preferred to a sum shrugged at. */
export function tinyPreferences(rows: number): string {
  return Array.from({ length: rows }, (_, i) => {
    const [a, b] = [(i * 7) % 10, (i * 3 + 1) % 10];
    return `${JSON.stringify({ prompt: `${a}+${b}`, chosen: `It is ${a + b}.`, rejected: `Who knows? ${b}` })}\n`;
  }).join('');
}

/** Writes a LoRA of rank 2 on every query and output layer of the tiny model, in PEFT's format; another for each seed. */
export async function writeTinyAdapter(folder: string, seed: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const next = numbers(seed);
  const rank = 2;
  const { hidden_size: d, num_hidden_layers: layers } = tinyConfig;
  const tensors: Record<string, TinyTensor> = {};
  for (let layer = 0; layer < layers; layer += 1)
    for (const name of ['q_proj', 'o_proj'])
      for (const [part, shape] of [
        ['lora_A', [rank, d]],
        ['lora_B', [d, rank]],
      ] as const)
        tensors[`base_model.model.model.layers.${layer}.self_attn.${name}.${part}.weight`] = {
          shape: [...shape],
          values: Float32Array.from({ length: rank * d }, next),
        };
  const config = { peft_type: 'LORA', r: rank, lora_alpha: 4, target_modules: ['q_proj', 'o_proj'] };
  await writeFile(join(folder, 'adapter_config.json'), JSON.stringify(config));
  await writeFile(join(folder, 'adapter_model.safetensors'), safetensorsBytes(tensors));
}

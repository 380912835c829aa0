import { type Knob } from './knobs';

const choices = (...values: string[]) => values.map((value) => ({ value, label: value }));

/** What most people leave alone, by section. */
export const moreKnobs: { title: string; knobs: Knob[] }[] = [
  {
    title: 'Adapter',
    knobs: [
      {
        ...{ path: 'lora.targets', label: 'Target layers', kind: 'targets' },
        help: 'Which layers are adapted: all-linear, or last parts of their names with commas between, such as q_proj, v_proj.',
      },
      {
        ...{ path: 'lora.exclude', label: 'Layers left out', kind: 'targets', placeholder: 'none' },
        help: 'Which of those are not adapted after all, named in the same way.',
      },
      {
        ...{ path: 'lora.layers', label: 'Layer numbers', kind: 'numbers', isOptional: true },
        ...{ placeholder: 'all' },
        help: 'Decoder layers to adapt, counted from 0, such as 0, 1 or 16-31. Fewer take less memory. Empty: all; and so where the target layers are a pattern.',
      },
      {
        ...{ path: 'lora.dropout', label: 'Dropout', kind: 'number', min: 0, max: 0.99 },
        help: 'Share of the inputs of adapted layers that is zeroed while training. 0.05 to 0.1 when a small dataset overfits.',
      },
      {
        ...{ path: 'lora.rsLora', label: 'rsLoRA', kind: 'switch' },
        help: 'Scales by alpha ÷ √rank instead, so that the update does not fade with ranks of 64 and more.',
      },
      {
        ...{ path: 'lora.dora', label: 'DoRA', kind: 'switch' },
        help: 'Trains a magnitude for each output too. Often better at low ranks; a step takes about half as long again. vLLM does not load it.',
      },
      {
        ...{ path: 'lora.init', label: 'Start', kind: 'choice' },
        choices: [
          { value: 'default', label: 'random' },
          { value: 'pissa', label: 'PiSSA: principal part of the weights' },
        ],
        help: 'PiSSA starts from the directions in which the weights do most, and often learns faster. It is published with twice the rank; not with DoRA.',
      },
      {
        ...{ path: 'lora.initIterations', label: 'Rounds of PiSSA', kind: 'number', min: 0, max: 1000 },
        help: 'How often the principal part is refined before training. More are more exact and take longer; without PiSSA it says nothing.',
      },
      {
        ...{ path: 'lora.dtype', label: 'Published in', kind: 'choice' },
        choices: [
          { value: 'bf16', label: 'bfloat16' },
          { value: 'f32', label: 'float32' },
        ],
        help: 'bfloat16 rounds the finished adapter: half the size, and hundreds of them answer faster from one base. Training keeps floats.',
      },
      {
        ...{
          path: 'lora.bias',
          label: 'Biases',
          kind: 'choice',
          choices: choices('none', 'lora_only', 'all'),
        },
        help: 'Whether biases are trained too: of adapted layers, or of all linear ones.',
      },
    ],
  },
  {
    title: 'Batches',
    knobs: [
      {
        ...{ path: 'training.rows', label: 'Rows', kind: 'number', min: 1, max: 1024 },
        help: 'Packed rows that go through the model at once. More if memory allows: steps are smoother.',
      },
      {
        ...{ path: 'training.accumulation', label: 'Accumulation', kind: 'number', min: 1, max: 1024 },
        help: 'Micro-batches before each step: a larger batch than memory allows. The loss is a mean over all their tokens.',
      },
      {
        ...{
          path: 'training.steps',
          label: 'Steps',
          kind: 'number',
          min: 1,
          max: 10_000_000,
          isOptional: true,
        },
        help: 'A fixed number of optimizer steps instead of epochs; empty: by epochs.',
      },
      {
        ...{ path: 'training.tooLong', label: 'Rows that are too long', kind: 'choice' },
        choices: choices('truncate', 'drop', 'fail'),
        help: 'Cut them, leave them out, or refuse to train: a cut answer may teach wrong things.',
      },
      {
        ...{ path: 'training.checkpointActivations', label: 'Save memory', kind: 'switch' },
        help: 'Keeps a few results of each layer and computes the rest again: much less memory, up to a third more time.',
      },
      {
        ...{ path: 'base.doubleQuantization', label: 'Quantize the scales too', kind: 'switch' },
        help: 'With nf4 and fp4: saves a third of a bit for each parameter, at hardly any cost. No matter for the others.',
      },
      {
        ...{ path: 'training.compute', label: 'Numbers in products', kind: 'choice' },
        choices: [
          { value: 'bf16', label: 'bf16: 16 bits' },
          { value: 'f32', label: 'f32: 32 bits' },
        ],
        help: 'What matrix products are computed in. f32 is slower and takes more memory; for comparing with a run elsewhere to the last digits.',
      },
      {
        ...{ path: 'training.neftuneAlpha', label: 'NEFTune', kind: 'number', min: 0, max: 1000 },
        help: 'Noise on the embeddings while training; 5 when chats sound too much like the data, 0 for none.',
      },
      {
        ...{ path: 'training.seed', label: 'Seed', kind: 'number', min: 0 },
        help: 'Of everything random. The same recipe with the same seed gives the same adapter, byte for byte.',
      },
    ],
  },
  {
    title: 'Optimizer',
    knobs: [
      {
        ...{
          path: 'optimizer.name',
          label: 'Optimizer',
          kind: 'choice',
          choices: choices('adamw', 'adamw8bit'),
        },
        help: 'adamw8bit keeps its moments in 8 bits: a quarter of their memory.',
      },
      {
        ...{ path: 'optimizer.schedule', label: 'Schedule', kind: 'choice' },
        choices: choices('cosine', 'linear', 'constant'),
        help: 'How the rate falls after warming up.',
      },
      {
        ...{ path: 'optimizer.warmupRatio', label: 'Warm-up', kind: 'number', min: 0, max: 1 },
        help: 'Share of the steps in which the rate rises from 0. More when the first steps are rough.',
      },
      {
        ...{ path: 'optimizer.weightDecay', label: 'Weight decay', kind: 'number', min: 0, max: 1 },
        help: 'Pulls the adapter towards zero; against overfitting.',
      },
      {
        ...{ path: 'optimizer.beta1', label: 'Beta 1', kind: 'number', min: 0, max: 0.999_999 },
        help: 'How long AdamW remembers the direction of gradients: 0.9 is some ten steps.',
      },
      {
        ...{ path: 'optimizer.beta2', label: 'Beta 2', kind: 'number', min: 0, max: 0.999_999 },
        help: 'How long AdamW remembers the size of gradients. 0.95 to 0.99 when the loss jumps in short runs.',
      },
      {
        ...{ path: 'optimizer.epsilon', label: 'Epsilon', kind: 'number', min: 0 },
        help: 'Added to the root of the second moment, so that nothing is divided by 0. Seldom worth changing.',
      },
      {
        ...{ path: 'optimizer.maxGradNorm', label: 'Clip gradients at', kind: 'number', min: 0 },
        help: 'Longest that all gradients together may be; 0: no limit.',
      },
      {
        ...{ path: 'optimizer.loraPlusRatio', label: 'LoRA+ ratio', kind: 'number', min: 0.01, max: 1000 },
        help: 'Rate of B over that of A. 4 to 16 with a lower rate often learns faster; 1: the same.',
      },
    ],
  },
  {
    title: 'Evaluation and checkpoints',
    knobs: [
      {
        ...{ path: 'evaluation.fraction', label: 'Held out', kind: 'number', min: 0, max: 0.5 },
        help: 'Share of the rows that are not trained on: their loss tells whether the model learns or only remembers.',
      },
      {
        ...{
          path: 'evaluation.everySteps',
          label: 'Evaluate every',
          kind: 'number',
          min: 1,
          isOptional: true,
        },
        help: 'Steps between evaluations; empty: at the start and the end.',
      },
      {
        ...{ path: 'evaluation.at', label: 'Evaluate at', kind: 'numbers', placeholder: 'no other steps' },
        help: 'More places for an evaluation: steps such as 100 or, below 1, shares of all steps such as 0.5.',
      },
      {
        ...{ path: 'checkpoints.everySteps', label: 'Checkpoint every', kind: 'number', min: 1 },
        help: 'Steps between checkpoints, from which an interrupted run goes on bit for bit.',
      },
      {
        ...{ path: 'checkpoints.keep', label: 'Checkpoints kept', kind: 'number', min: 0, max: 20 },
        help: 'Of checkpoints and evaluations the newest so many stay as they can be published, and the best; 0: none.',
      },
      {
        ...{ path: 'samples.count', label: 'Samples kept', kind: 'number', min: 0, max: 16 },
        help: 'Rows held out that are answered before training, at evaluations and after, to be read side by side; 0: none.',
      },
      {
        ...{ path: 'samples.times', label: 'Sample in between', kind: 'number', min: 0, max: 100 },
        help: 'At how many evaluations between the first and the last they are answered, at most.',
      },
      {
        ...{ path: 'samples.maxTokens', label: 'Tokens of a sample', kind: 'number', min: 1, max: 1024 },
        help: 'The longest answer that is kept. Long ones take time at each evaluation.',
      },
      {
        ...{ path: 'samples.prompts', label: 'Questions of your own', kind: 'lines', isOptional: true },
        ...{ placeholder: 'rows held out' },
        help: 'What to answer instead of rows held out: one question a line, 16 at most.',
      },
    ],
  },
];

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
    ],
  },
];

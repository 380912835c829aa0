import { type Recipe } from '@lowrank/contracts';

/** A field of the recipe as the form has it. */
export interface Knob {
  path: string;
  label: string;
  /** What it does, and when to change it; docs/recipe.md in fewer words. */
  help: string;
  kind: 'number' | 'switch' | 'choice' | 'targets' | 'numbers' | 'lines';
  min?: number;
  max?: number;
  /** May be left empty, which is null. */
  isOptional?: boolean;
  /** What stands in an empty field; default: that it is decided by itself. */
  placeholder?: string;
  choices?: { value: string; label: string }[];
}

/** What an objective has when it is chosen. */
export const objectives: Record<Recipe['objective']['type'], Recipe['objective']> = {
  sft: { type: 'sft' },
  dpo: { type: 'dpo', beta: 0.1, labelSmoothing: 0 },
  orpo: { type: 'orpo', lambda: 0.1 },
};

/** What there is to set of an objective; smoothing of `sft` is a field of training. */
export const objectiveKnobs: Record<Recipe['objective']['type'], Knob[]> = {
  sft: [
    {
      ...{ path: 'training.labelSmoothing', label: 'Label smoothing', kind: 'number', min: 0, max: 0.99 },
      help: 'Share of each target that is spread over all words, so that the model is less sure of itself. 0.1 when the data are noisy; 0 for most.',
    },
  ],
  dpo: [
    {
      ...{ path: 'objective.beta', label: 'Beta', kind: 'number', min: 0.001, max: 100 },
      help: 'How far the adapter may move from the base model: smaller, further.',
    },
    {
      ...{ path: 'objective.labelSmoothing', label: 'Label smoothing', kind: 'number', min: 0, max: 0.49 },
      help: 'Share of the preferences that are taken to be the wrong way round (conservative DPO). 0.1 when people disagreed; 0 for most.',
    },
  ],
  orpo: [
    {
      ...{ path: 'objective.lambda', label: 'Lambda', kind: 'number', min: 0, max: 100 },
      help: 'Weight of preferring the chosen answer beside learning it.',
    },
  ],
};

/** What most people look at. */
export const mainKnobs: Knob[] = [
  {
    ...{ path: 'lora.rank', label: 'Rank', kind: 'number', min: 1, max: 512 },
    help: 'The update of each layer is a product of two thin matrices, B·A; the rank is how thin. A higher rank can learn more, and takes more memory and a larger file. 8 to 32 do for most styles and formats; go up when the loss stops too high.',
  },
  {
    ...{ path: 'lora.alpha', label: 'Alpha', kind: 'number', min: 0.01, max: 4096 },
    help: 'The update is scaled by alpha ÷ rank before it is added, so alpha says how loud it is whatever the rank. It stays at twice the rank unless you set it. The learning rate does much the same: seldom worth changing both.',
  },
  {
    ...{ path: 'training.epochs', label: 'Epochs', kind: 'number', min: 0.01, max: 1000 },
    help: 'Passes over the data; fractions too. More while the held-out loss still falls, fewer when it rises: then the model learns your rows by heart.',
  },
  {
    ...{ path: 'optimizer.learningRate', label: 'Learning rate', kind: 'number', min: 0, max: 1 },
    help: 'How far one step goes at its peak. Lower it when the loss jumps, raise it when the loss hardly moves. Small models take higher rates (up to 0.002), large ones lower (0.0001).',
  },
  {
    ...{ path: 'training.sequenceLength', label: 'Sequence length', kind: 'number', min: 16, max: 131_072 },
    help: 'The longest conversation in tokens; longer ones are cut. Short ones are packed together into rows of this length, so that no room is wasted. Memory grows with it.',
  },
  {
    ...{ path: 'base.quantization', label: 'Base kept as', kind: 'choice' },
    choices: [
      { value: 'nf4', label: 'nf4: 4 bits (QLoRA)' },
      { value: 'fp4', label: 'fp4: 4 bits' },
      { value: 'int8', label: 'int8: 8 bits' },
      { value: 'bf16', label: 'bf16: 16 bits' },
      { value: 'f32', label: 'f32: 32 bits' },
    ],
    help: 'The frozen base model in memory. nf4 takes a quarter of 16 bits and costs hardly any quality; more bits when you compare with a run elsewhere.',
  },
];

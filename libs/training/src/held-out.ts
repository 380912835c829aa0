import { type DatasetFormat, type Recipe, type RowsFrom } from '@lowrank/contracts';
import { type ChatTokenizer, type EncodedRow } from '@lowrank/datasets';
import { sequencesPerRow, splitRows } from '@lowrank/domain';
import { loadTokens } from './caches';

/** What a result is measured and compared on. */
export interface MeasuredData {
  dataset: { file: string; sha256: string; format: DatasetFormat };
  /** Whether it is a validation dataset, of which every row counts; otherwise the rows count that the recipe holds out of it. */
  isValidation: boolean;
  recipe: Recipe;
  base: { dir: string };
  maxLineBytes: number;
  cacheDir: string;
  signal: AbortSignal;
}

export interface MeasuredRows {
  /** Conversations, as many of each row as sequencesPerRow says. */
  rows: EncodedRow[];
  /** Numbers of the rows that nothing was trained on. */
  held: number[];
  /** What answers are compared on: those rows, or any when there are none; of a preference the chosen answers. */
  compared: EncodedRow[];
  rowsFrom: RowsFrom;
}

/** Reads the rows of a dataset and says which of them a result is measured on. Throws as loadTokens. */
export async function loadMeasured(
  { dataset, isValidation, recipe, base, maxLineBytes, cacheDir, signal }: MeasuredData,
  { fingerprint }: ChatTokenizer,
): Promise<MeasuredRows> {
  const source = { ...dataset, tokenizerDir: base.dir, fingerprint, maxLineBytes, cacheDir, signal };
  const rows = await loadTokens(source);
  const together = sequencesPerRow(recipe);
  const count = rows.length / together;
  const { fraction } = recipe.evaluation;
  const { held, train } = splitRows(count, fraction, recipe.training.seed, isValidation ? count : 0);
  const compared = (held.length > 0 ? held : train).map((row) => rows[row * together] as EncodedRow);
  const rowsFrom = isValidation ? 'validation' : held.length > 0 ? 'held-out' : 'training';
  return { rows, held, compared, rowsFrom };
}

import { type Certificate, type ParityThresholds, type RowsFrom } from '@lowrank/contracts';
import { type Command } from 'commander';
import { number } from './option-values';

export interface ParityOptions {
  dataset?: string;
  validation?: string;
  klMean?: number;
  agreement?: number;
}

/** The options that say on what a result is compared, and what it has to reach. `of`: what decides that otherwise, `format` or `method`. */
export const addParityOptions = (command: Command, of: string): Command =>
  command
    .option(
      '--dataset <dataset>',
      'dataset whose held-out rows are compared; default: the one that the version was trained on',
    )
    .option('--validation <dataset>', 'dataset of which all rows may be compared, instead')
    .option('--kl-mean <nats>', `most divergence on average; default: by the ${of}`, number)
    .option('--agreement <share>', `least share of tokens that are the same; default: by the ${of}`, number);

/** Only what was given. */
export const makeParity = ({
  dataset,
  validation,
  klMean,
  agreement,
}: ParityOptions): { dataset?: string; validationDataset?: string; parity: Partial<ParityThresholds> } => ({
  ...{ dataset, validationDataset: validation, parity: { klMean, agreement } },
});

export const percent = (share: number): string => `${(100 * share).toFixed(2)}%`;

const rowsOf: Record<RowsFrom, string> = {
  'held-out': ' held out',
  validation: ' of validation',
  training: ' of training, as none were held out',
};
/** `4 rows held out`; of certificates of earlier releases `4 rows`. */
export const describeRows = ({ rows, rowsFrom }: Pick<Certificate, 'rows' | 'rowsFrom'>): string =>
  `${rows} rows${rowsFrom === undefined ? '' : rowsOf[rowsFrom]}`;

/** `the same likeliest token in 99.80% of 1,234 tokens (4 rows held out), divergence 1.2e-5 nats` */
export const describeCertificate = ({ agreement, tokens, klMean, ...rest }: Certificate): string =>
  `the same likeliest token in ${percent(agreement)} of ${tokens.toLocaleString('en')} tokens (${describeRows(rest)}), divergence ${klMean.toExponential(2)} nats`;

import { type SweepMetric, type SweepTrial, type SweepWithTrials } from '@lowrank/contracts';
import { shown } from '../space-options';

type Evaluation = { loss: number; accuracy: number | null };

/** An evaluation by the sweep's metric. */
export function formatMetric(metric: SweepMetric, evaluation: Evaluation | null): string {
  const value = evaluation && (metric === 'loss' ? evaluation.loss : evaluation.accuracy);
  if (value === null) return '–';
  return metric === 'loss' ? value.toFixed(4) : `${(100 * value).toFixed(1)}%`;
}

/** The trials of a sweep as a table: what varies, how far each is, and how good. */
export function sweepTable(sweep: SweepWithTrials): { head: string[]; rows: string[][] } {
  const fields = Object.keys(sweep.space);
  const metric = sweep.metric.toUpperCase();
  return {
    head: ['TRIAL', ...fields, 'STATE', 'STEP', `LAST ${metric}`, `BEST ${metric}`, ''],
    rows: sweep.trials.map((trial) => [
      String(trial.number),
      ...fields.map((field) => shown(trial.parameters[field])),
      trial.state,
      `${trial.step}/${trial.totalSteps ?? '–'}`,
      formatMetric(sweep.metric, trial.result ?? trial.latest),
      formatMetric(sweep.metric, trial.best),
      remarkOn(trial, sweep),
    ]),
  };
}

function remarkOn(
  { number, version, stoppedEarly, rung }: SweepTrial,
  { promoted }: SweepWithTrials,
): string {
  if (version !== null) return `${promoted?.trial === number ? 'promoted: ' : ''}v${version}`;
  if (stoppedEarly !== null) return `stopped early at rung ${stoppedEarly.rung}`;
  return rung === null ? '' : `rung ${rung}`;
}

/** `lora.rank=8 optimizer.learningRate=0.0002` */
export const describeParameters = ({ parameters }: SweepTrial): string =>
  Object.entries(parameters)
    .map(([field, value]) => `${field}=${shown(value)}`)
    .join(' ');

/** What a sweep has come to, in a sentence. */
export function describeSweep(sweep: SweepWithTrials): string {
  const { id, state, adapter, promoted, trials, metric, finishedCount, trialCount } = sweep;
  if (promoted === null) {
    const over = `${finishedCount} of ${trialCount} trials over`;
    return state === 'running' ? `Sweep ${id}: ${over}.` : `Sweep ${id} is ${state}: nothing was promoted.`;
  }
  const trial = trials.find(({ number }) => number === promoted.trial);
  const parameters = trial ? describeParameters(trial) : '';
  const value = formatMetric(metric, trial?.result ?? null);
  return `Trial ${promoted.trial} (${parameters}), held-out ${metric} ${value}, is ${adapter} v${promoted.version}.`;
}

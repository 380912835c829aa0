import { endAll } from './harness/program';
import { interrupt, Interrupted, since } from './harness/wait';
import { type Failure, type Outcome, type Scale, Skipped } from './suite';

export interface Row extends Outcome {
  failure: Pick<Failure, 'id' | 'broken' | 'required'>;
  state: 'passed' | 'failed' | 'skipped';
  seconds: number;
}

async function runOne(failure: Failure, scale: Scale): Promise<Row> {
  const started = performance.now();
  const row = (state: Row['state'], outcome: Outcome): Row => ({
    failure: { id: failure.id, broken: failure.broken, required: failure.required },
    state,
    seconds: since(started),
    ...outcome,
  });
  try {
    const outcome = await failure.run(scale);
    return row(outcome.problems.length === 0 ? 'passed' : 'failed', outcome);
  } catch (error) {
    if (error instanceof Interrupted) throw error;
    if (error instanceof Skipped) return row('skipped', { figure: error.message, problems: [], values: {} });
    const text = error instanceof Error ? error.message : String(error);
    return row('failed', { figure: text.split('\n')[0] ?? '', problems: [text], values: {} });
  } finally {
    await endAll();
  }
}

/** One after the other, each on an installation of its own. Shows how each went as soon as it is over. */
export async function runFailures(failures: readonly Failure[], scale: Scale): Promise<Row[]> {
  const rows: Row[] = [];
  let interrupted = false;
  const stop = () => {
    interrupted = true;
    interrupt();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  for (const failure of failures) {
    process.stdout.write(`… ${failure.id}: ${failure.broken}\n`);
    try {
      const row = await runOne(failure, scale);
      rows.push(row);
      process.stdout.write(`  ${row.state} after ${row.seconds.toFixed(0)} s: ${row.figure}\n`);
      for (const problem of row.problems) process.stdout.write(`    ${problem.replaceAll('\n', '\n    ')}\n`);
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
    }
    if (interrupted) {
      process.stdout.write('Interrupted; everything that was started has been ended.\n');
      process.exit(130);
    }
  }
  return rows;
}

import { type SweepWithTrials } from '@lowrank/contracts';
import { clearScreenDown, cursorTo, moveCursor } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Api } from '../client/api';
import { CliError, exitCodes } from '../errors';
import { formatTable } from '../terminal';
import { describeParameters, describeSweep, formatMetric, sweepTable } from './sweep-table';
import { untilInterrupted } from './watch-job';

const everyMs = 1000;
/** How long a server may be away. */
const patienceMs = 60_000;

/** Shows a sweep until it is over, and resolves to it. Ctrl-C ends the watching, not the sweep. */
export const watchSweep = (api: Api, id: string): Promise<SweepWithTrials> =>
  untilInterrupted(
    async (signal) => {
      const show = process.stderr.isTTY ? new LiveTable(process.stderr) : new Lines(process.stderr);
      let heardAt = Date.now();
      for (;;) {
        try {
          const sweep = await api.sweep(id, signal);
          heardAt = Date.now();
          show.update(sweep);
          if (sweep.state !== 'running') return sweep;
        } catch (error) {
          const isAway = error instanceof CliError && error.options.exitCode === exitCodes.unreachable;
          if (!isAway || Date.now() - heardAt > patienceMs) throw error;
        }
        await sleep(everyMs, undefined, { signal });
      }
    },
    { what: `sweep ${id}`, again: `lowrank sweep watch ${id}` },
  );

/** The whole table, drawn over the one before; of a long one the part that fits, those that train first. */
class LiveTable {
  private drawn = 0;

  constructor(private readonly stream: NodeJS.WriteStream) {}

  update(sweep: SweepWithTrials): void {
    const room = Math.max(3, this.stream.rows - 4);
    const { head, rows } = sweepTable({ ...sweep, trials: mostInteresting(sweep, room) });
    const left = sweep.trials.length - rows.length;
    const more = left > 0 ? [`… and ${left} more`] : [];
    const lines = [...formatTable(head, rows), ...more, describeSweep(sweep)];
    moveCursor(this.stream, 0, -this.drawn);
    cursorTo(this.stream, 0);
    clearScreenDown(this.stream);
    // A line that wraps would take two, and the next drawing would begin too low.
    this.stream.write(lines.map((line) => `${line.slice(0, this.stream.columns - 1)}\n`).join(''));
    this.drawn = lines.length;
  }
}

/** In the order of their numbers, as many as there is room for: what runs before what is over, and what waits last. */
function mostInteresting({ trials }: SweepWithTrials, room: number): SweepWithTrials['trials'] {
  const rank = (state: string) =>
    ['running', 'preparing', 'publishing'].includes(state) ? 0 : state === 'queued' ? 2 : 1;
  const chosen = [...trials]
    .sort((a, b) => rank(a.state) - rank(b.state) || a.number - b.number)
    .slice(0, room);
  return chosen.sort((a, b) => a.number - b.number);
}

/** A line for each trial that has come to another state. */
class Lines {
  private readonly states = new Map<number, string>();

  constructor(private readonly stream: NodeJS.WritableStream) {}

  update(sweep: SweepWithTrials): void {
    for (const trial of sweep.trials) {
      const { number, state, stoppedEarly, result, latest } = trial;
      if (this.states.get(number) === state) continue;
      this.states.set(number, state);
      if (state === 'queued') continue;
      const value = result ?? latest;
      const parts = [
        stoppedEarly && state === 'cancelled' ? `stopped early at rung ${stoppedEarly.rung}` : state,
        value ? `held-out ${sweep.metric} ${formatMetric(sweep.metric, value)}` : '',
      ];
      const what = parts.filter(Boolean).join(', ');
      this.stream.write(`  trial ${number} (${describeParameters(trial)}): ${what}\n`);
    }
  }
}

// How fairly the dispatcher shares: 10,000 jobs of 50 teams on 200 workers in simulated time, decided by the very function that
// decides in production, beside first in, first out on the same jobs. Prints waiting times per team and Jain's index, and writes
// bench/results/fairness.json. docs/fairness.md says what is measured and why.
//
//   npm run bench:fairness -- [--seed 1] [--jobs 10000] [--teams 50] [--workers 200]
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { idealService, simulate } from './cluster.mjs';
import { median, writeResults } from './results.mjs';

const require = createRequire(import.meta.url);
require('../tools/typescript.cjs');
const { drawsOf } = require('../tools/draws.ts');
const { planDispatch, priorityHeadStartMs, usageDecaySeconds } = require('../dist/libs/domain/src/index.js');
const { values: flags } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '10000' },
    teams: { type: 'string', default: '50' },
    workers: { type: 'string', default: '200' },
  },
});
const count = { jobs: Number(flags.jobs), teams: Number(flags.teams), workers: Number(flags.workers) };

const say = (line) => process.stdout.write(`${line}\n`);
const random = drawsOf(Number(flags.seed));
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const workers = Array.from({ length: count.workers }, (_, index) => ({
  ...{
    id: `w${String(index).padStart(4, '0')}`,
    hostname: `w${index}`,
    slots: 1,
    deviceClass: 'cpu',
    memoryBytes: 0,
  },
}));
const teamsOf = (weightOf) =>
  Array.from({ length: count.teams }, (_, index) => ({
    ...{ id: `t${String(index).padStart(2, '0')}`, weight: weightOf(index) },
  }));

/** Jobs of minutes to hours (log-normal, median 5 to 15 min by team), priorities from −2 to 2, most of them 0. */
function makeJobs(teams, shareOf, arrivalOf) {
  const total = teams.reduce((sum, _team, index) => sum + shareOf(index), 0);
  const upTo = (shares) => Math.round((count.jobs * shares) / total);
  let before = 0;
  return teams.flatMap(({ id: teamId }, index) => {
    const typical = 300 + (600 * index) / teams.length;
    before += shareOf(index);
    return Array.from({ length: upTo(before) - upTo(before - shareOf(index)) }, (_, number) => ({
      id: `${teamId}-${String(number).padStart(5, '0')}`,
      teamId,
      at: arrivalOf(index),
      seconds: Math.min(4 * 3600, Math.max(20, typical * Math.exp(0.8 * normal()))),
      priority: random() < 0.7 ? 0 : Math.floor(random() * 5) - 2,
      // Of two bases that a team has; every other job has micro-batches that are small enough for company.
      ...{ base: number % 2, isSmall: number % 4 < 2 },
    }));
  });
}

const rankOf = ({ at, priority }) => at * 1000 - priority * priorityHeadStartMs;
const needs = { deviceClasses: null, memoryBytes: null };
const fairly =
  (teams) =>
  ({ now, placed, waiting, usage }) =>
    planDispatch({
      now: now * 1000,
      teams: teams.map((team) => ({
        ...team,
        maxRunning: null,
        exhausted: false,
        usage: usage.get(team.id),
      })),
      workers,
      placed: placed.map(({ job, workerId, since, leaving, bound }) => ({
        ...{
          id: job.id,
          teamId: job.teamId,
          workerId,
          priority: job.priority,
          leaving,
          movable: !bound,
          ...needs,
        },
        rank: rankOf(job),
        since: since === null ? null : since * 1000,
      })),
      waiting: waiting.map((job) => ({
        ...{ id: job.id, teamId: job.teamId, priority: job.priority, host: null, ...needs },
        rank: rankOf(job),
        waitingSince: job.at * 1000,
      })),
    });
/** What there was before: the oldest job first, whoever's it is. */
const inTurn = ({ placed, waiting }) => {
  const taken = new Set(placed.map(({ workerId }) => workerId));
  const free = workers.filter(({ id }) => !taken.has(id));
  const line = waiting.sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1));
  return {
    assignments: line.slice(0, free.length).map(({ id }, index) => ({ jobId: id, workerId: free[index].id })),
    preemptions: [],
  };
};

/** Jobs of one team, base and priority with small micro-batches train together, as LOWRANK_JOBS_PER_TRAINER has it by default. */
const parties = {
  most: 8,
  isAlike: (one, other) =>
    one.teamId === other.teamId &&
    one.base === other.base &&
    one.priority === other.priority &&
    one.isSmall &&
    other.isSmall,
  // docs/benchmarks.md: eight adapters with rows of 64 tokens, 1.6 times as fast together as in turn.
  gain: (members) => 1 + (0.6 * (members - 1)) / 7,
};

/** Jain, Chiu and Hawe 1984: 1 when all are equal, 1/n when one has everything. */
const jain = (values) =>
  values.reduce((sum, value) => sum + value, 0) ** 2 /
  (values.length * values.reduce((sum, value) => sum + value ** 2, 0));

const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.ceil(q * values.length) - 1] ?? 0;
const minutes = (seconds) => (seconds / 60).toFixed(1).padStart(7);

/** Service of each team until a time, over what dividing every instant would have given it. */
function shareOfIdeal({ spans }, ideal, until) {
  const service = new Map([...ideal.keys()].map((id) => [id, 0]));
  for (const [teamId, from, to] of spans) {
    const seconds = Math.min(to, until) - from;
    if (seconds > 0) service.set(teamId, service.get(teamId) + seconds);
  }
  return [...service].filter(([id]) => ideal.get(id) > 0).map(([id, seconds]) => seconds / ideal.get(id));
}

function waitsOf(jobs, { waits }, keep = () => true) {
  return jobs.filter(keep).map(({ id }) => waits.get(id));
}

function report(title, teams, jobs, company = undefined) {
  const started = performance.now();
  const cluster = { decide: fairly(teams), decay: usageDecaySeconds, rankOf };
  const fair = simulate(jobs, teams, workers, { ...cluster, parties: company });
  const seconds = (performance.now() - started) / 1000;
  const fifo = simulate(jobs, teams, workers, {
    decide: inTurn,
    decay: usageDecaySeconds,
    rankOf: ({ at }) => at,
  });
  // What jobs take of slots at the least: nobody can be given more than that.
  const least = company === undefined ? 1 : company.gain(company.most);
  const needed = jobs.map((job) => (job.isSmall ? { ...job, seconds: job.seconds / least } : job));
  const work = needed.reduce((sum, job) => sum + job.seconds, 0);
  // While there is more to do than slots; afterwards everybody has had everything and any order looks fair.
  const until = work / count.workers / 2;
  const ideal = idealService(needed, teams, count.workers, until);
  const index = {
    fair: jain(shareOfIdeal(fair, ideal, until)),
    fifo: jain(shareOfIdeal(fifo, ideal, until)),
  };

  say(`\n${title}`);
  say(
    `${jobs.length} jobs, ${teams.length} teams, ${workers.length} workers; ${(work / 3600).toFixed(0)} device hours`,
  );
  say(
    'team  weight   jobs   wait in minutes: mean     p50     p95     max   first in, first out: mean     p95',
  );
  const rows = teams.map(({ id, weight }) => {
    const own = ({ teamId }) => teamId === id;
    const [mine, before] = [waitsOf(jobs, fair, own), waitsOf(jobs, fifo, own)];
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const row = {
      team: id,
      weight,
      jobs: mine.length,
      mean: mean(mine),
      p50: median(mine),
      p95: quantile(mine, 0.95),
    };
    const whole = { ...row, max: Math.max(...mine), fifoMean: mean(before), fifoP95: quantile(before, 0.95) };
    say(
      `${id.padEnd(5)} ${String(weight).padStart(6)} ${String(mine.length).padStart(6)} ${minutes(whole.mean).padStart(23)} ${minutes(
        whole.p50,
      )} ${minutes(whole.p95)} ${minutes(whole.max)} ${minutes(whole.fifoMean).padStart(27)} ${minutes(whole.fifoP95)}`,
    );
    return whole;
  });
  const byPriority = [-2, -1, 0, 1, 2].map((priority) => {
    const waits = waitsOf(jobs, fair, (job) => job.priority === priority);
    return {
      priority,
      mean: waits.reduce((sum, value) => sum + value, 0) / waits.length,
      max: Math.max(...waits),
    };
  });
  say(
    `mean wait by priority (minutes): ${byPriority.map((row) => `${row.priority}: ${minutes(row.mean).trim()}`).join('  ')}`,
  );
  say(
    `Jain's index of service over the ideal, first ${(until / 60).toFixed(0)} min: ${index.fair.toFixed(4)}; first in, first out: ${index.fifo.toFixed(4)}`,
  );
  say(
    `${fair.preemptions} preemptions; all done after ${(fair.end / 60).toFixed(0)} min (first in, first out: ${(fifo.end / 60).toFixed(0)}); ` +
      `${((seconds / fair.rounds) * 1e6).toFixed(0)} µs a round`,
  );
  if (company !== undefined) {
    const apart = simulate(jobs, teams, workers, cluster);
    const meanOf = ({ waits }) => [...waits.values()].reduce((sum, value) => sum + value, 0) / waits.size;
    say(
      `${fair.together} jobs began in the slot of another. Mean wait ${minutes(meanOf(fair)).trim()} min, each in a slot of its own ${minutes(
        meanOf(apart),
      ).trim()}; all done after ${(fair.end / 60).toFixed(0)} and ${(apart.end / 60).toFixed(0)} min`,
    );
  }
  return {
    title,
    index,
    together: fair.together,
    preemptions: fair.preemptions,
    microsecondsPerRound: (seconds / fair.rounds) * 1e6,
    byPriority,
    rows,
  };
}

const even = teamsOf(() => 1);
const weighted = teamsOf((index) => [1, 2, 4][index % 3]);
const isGreedy = (index) => index < count.teams / 10;
// About as much work as the slots can do while jobs come in.
const comeWithin = 2.5 * 3600;
const atOnce = 60;
const results = [
  report(
    'A tenth of the teams have half of the jobs and submit them within a minute; the others come with theirs as time goes by.',
    even,
    makeJobs(
      even,
      (index) => (isGreedy(index) ? 9 : 1),
      (index) => random() * (isGreedy(index) ? atOnce : comeWithin),
    ),
  ),
  report(
    'All teams have as many jobs and submit them within a minute; weights 1, 2 and 4.',
    weighted,
    makeJobs(
      weighted,
      () => 1,
      () => random() * atOnce,
    ),
  ),
  report(
    'The same with parties: half of the jobs train with others of their team in one slot.',
    weighted,
    makeJobs(
      weighted,
      () => 1,
      () => random() * atOnce,
    ),
    parties,
  ),
];
writeResults('fairness', { flags, results });
const worst = Math.min(...results.map(({ index }) => index.fair));
say(`\nSmallest index: ${worst.toFixed(4)} (goal 0.95)`);
process.exitCode = worst >= 0.95 ? 0 : 1;

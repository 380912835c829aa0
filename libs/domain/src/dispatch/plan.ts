/*
 * What runs next: the whole policy, as a function of what there is. It reads and writes nothing, so that bench/fairness.mjs can simulate
 * it; docs/fairness.md says what it promises.
 */
import { Board } from './board';
import { type DispatchState, type PlacedJob, type PlanTeam, type WaitingJob } from './state';

export interface DispatchPolicy {
  /** A slot that a team holds now counts as this many device seconds more: what it is about to use. */
  slotSeconds: number;
  /** Waiting time after which a job may have the slot of one with a lower priority. */
  preemptAfterMs: number;
  /** Time that an attempt has at least before it can lose its slot. */
  undisturbedMs: number;
  /** Waiting time after which a job that needs more than an even share of a worker's memory has one kept for it; one job a team. */
  holdAfterMs: number;
}

export const defaultPolicy: DispatchPolicy = {
  slotSeconds: 600,
  preemptAfterMs: 30_000,
  undisturbedMs: 60_000,
  holdAfterMs: 600_000,
};

export interface DispatchPlan {
  /** Jobs and the workers whose free slots they get. */
  assignments: { jobId: string; workerId: string }[];
  /** Jobs that are to give their slot to `jobId`, which is bound for their worker from now on. */
  preemptions: { victimId: string; jobId: string; workerId: string }[];
}

/** A team's turn: what it has had for its weight, and which of its jobs come next. */
interface Turn {
  team: PlanTeam;
  running: number;
  queue: WaitingJob[];
}

/**
 * Gives free slots to the team that has had the least for its weight, again and again, and within a team to the job of the smallest
 * rank that fits. Then takes slots from jobs of lower priority for those that have waited, and only from teams that have had no less even then.
 */
export function planDispatch(state: DispatchState, policy: DispatchPolicy = defaultPolicy): DispatchPlan {
  const board = new Board(state.workers, state.placed);
  const turns = turnsOf(state);
  /** With `more` slots than it has. */
  const levelOf = ({ team, running }: Turn, more = 0): number =>
    (team.usage + policy.slotSeconds * (running + more)) / team.weight;
  for (const turn of turns.values()) {
    if (turn.team.exhausted || !mayRunMore(turn)) continue;
    const big = turn.queue.find(
      (job) => job.memoryBytes !== null && state.now - job.waitingSince >= policy.holdAfterMs,
    );
    if (big) board.holdFor(big, big.memoryBytes ?? 0);
  }

  const plan: DispatchPlan = { assignments: [], preemptions: [] };
  const unplaced: { turn: Turn; job: WaitingJob }[] = [];
  const open = [...turns.values()].filter((turn) => turn.queue.length > 0 && !turn.team.exhausted);
  while (open.length > 0) {
    const turn = open.reduce((least, other) => (comesFirst(other, least, levelOf) ? other : least));
    const job = mayRunMore(turn) ? takeFitting(turn, board) : null;
    if (job) {
      plan.assignments.push({ jobId: job.id, workerId: board.place(job) });
      turn.running += 1;
    }
    if (job && turn.queue.length > 0) continue;
    unplaced.push(...turn.queue.map((waiting) => ({ turn, job: waiting })));
    open.splice(open.indexOf(turn), 1);
  }

  for (const { turn, job } of unplaced) {
    if (state.now - job.waitingSince < policy.preemptAfterMs || board.expectSlot(job)) continue;
    const mayTakeFrom = (victim: PlacedJob): boolean => {
      const other = turns.get(victim.teamId);
      if (victim.since === null || state.now - victim.since < policy.undisturbedMs || other === undefined)
        return false;
      // What a job had waited for when it got its slot counts as it does in the queue; otherwise it would lose it again and again.
      if (state.now - job.rank <= victim.since - victim.rank) return false;
      if (other === turn) return true;
      // Even afterwards the one team must have had no more than the other, or the slot would go to and fro.
      return mayRunMore(turn) && levelOf(turn, 1) <= levelOf(other, -1);
    };
    const victim = board.victimFor(job, mayTakeFrom);
    if (!victim) continue;
    plan.preemptions.push({ victimId: victim.id, jobId: job.id, workerId: victim.workerId });
    board.replace(victim, job);
    turn.running += 1;
    const loser = turns.get(victim.teamId);
    if (loser) loser.running -= 1;
  }
  return plan;
}

function turnsOf({ teams, placed, waiting }: DispatchState): Map<string, Turn> {
  const turns = new Map(teams.map((team): [string, Turn] => [team.id, { team, running: 0, queue: [] }]));
  for (const { teamId } of placed) {
    const turn = turns.get(teamId);
    if (turn) turn.running += 1;
  }
  for (const job of waiting) turns.get(job.teamId)?.queue.push(job);
  for (const { queue } of turns.values()) queue.sort((a, b) => a.rank - b.rank || (a.id < b.id ? -1 : 1));
  return turns;
}

const mayRunMore = ({ team, running }: Turn): boolean =>
  team.maxRunning === null || running < team.maxRunning;

/** Teams on the same level take turns by what waits longest. */
function comesFirst(a: Turn, b: Turn, levelOf: (turn: Turn) => number): boolean {
  const [levelA, levelB] = [levelOf(a), levelOf(b)];
  if (levelA !== levelB) return levelA < levelB;
  const [rankA, rankB] = [a.queue[0]?.rank ?? 0, b.queue[0]?.rank ?? 0];
  return rankA !== rankB ? rankA < rankB : a.team.id < b.team.id;
}

function takeFitting({ queue }: Turn, board: Board): WaitingJob | null {
  if (!board.hasFreeSlot) return null;
  const index = queue.findIndex((job) => board.find(job) !== null);
  return index < 0 ? null : (queue.splice(index, 1)[0] ?? null);
}

// A cluster in simulated time, in which an arbitrary function decides what runs: bench/fairness.mjs gives it the dispatcher's own.
// Times are seconds. A job is {id, teamId, at, seconds, priority}; `seconds` is what it trains for, alone in a slot.

/** Seconds from a preemption to the free slot: the checkpoint. It is part of no job's work. */
const CHECKPOINT_SECONDS = 5;

/** What `count` slots would give each team if every instant were divided: {teamId: seconds} of service until `until`, by weighted
 * max-min fairness over the work that each has there. The yardstick, since no dispatcher of whole jobs can do better. */
export function idealService(jobs, teams, count, until, tick = 5) {
  const left = new Map(teams.map(({ id }) => [id, []]));
  const service = new Map(teams.map(({ id }) => [id, 0]));
  const arriving = [...jobs].sort((a, b) => a.at - b.at);
  for (let now = 0; now < until; now += tick) {
    while (arriving.length > 0 && arriving[0].at <= now) {
      const job = arriving.shift();
      left.get(job.teamId).push(job.seconds);
    }
    let open = teams.filter(({ id }) => left.get(id).length > 0);
    let free = count;
    const share = new Map();
    // Teams that want less than their share leave the rest to the others.
    while (open.length > 0) {
      const perWeight = free / open.reduce((sum, { weight }) => sum + weight, 0);
      const content = open.filter(({ id, weight }) => left.get(id).length <= perWeight * weight);
      for (const { id, weight } of content.length > 0 ? content : open) {
        const slots = content.length > 0 ? left.get(id).length : perWeight * weight;
        share.set(id, slots);
        free -= slots;
      }
      open = content.length > 0 ? open.filter((team) => !content.includes(team)) : [];
    }
    for (const [id, slots] of share) {
      let given = slots * tick;
      const queue = left.get(id);
      for (let place = 0; place < queue.length && given > 1e-9; place += 1) {
        const part = Math.min(queue[place], tick, given);
        queue[place] -= part;
        given -= part;
        service.set(id, service.get(id) + part);
      }
      left.set(
        id,
        queue.filter((seconds) => seconds > 1e-9),
      );
    }
  }
  return service;
}

const alone = { most: 1, isAlike: () => false, gain: () => 1 };

/**
 * Runs all jobs on workers of one slot each. `decide({now, placed, waiting, usage})` returns {assignments, preemptions} as planDispatch
 * does; `decay` is the time constant of usage. `parties`: up to `most` jobs that are alike train in one slot, `gain(n)` times as fast
 * together as in turn. Returns {waits: seconds by job, spans: [teamId, from, to] of slots, preemptions, rounds, end, together: jobs that
 * began in another's slot}.
 */
export function simulate(jobs, teams, workers, { decide, decay, rankOf, parties = alone }) {
  const events = [...jobs].sort((a, b) => a.at - b.at).map((job) => ({ at: job.at, type: 'arrive', job }));
  const later = [];
  const usage = new Map(teams.map(({ id }) => [id, 0]));
  const waiting = new Map(teams.map(({ id }) => [id, []]));
  const running = new Map();
  const bound = new Map();
  const waits = new Map();
  const spans = [];
  let now = 0;
  let preemptions = 0;
  let rounds = 0;
  let together = 0;

  const push = (event) => {
    const place = later.findIndex(({ at }) => at > event.at);
    later.splice(place < 0 ? later.length : place, 0, event);
  };
  const queue = (job) => {
    const line = waiting.get(job.teamId);
    const place = line.findIndex((other) => rankOf(other) > rankOf(job));
    line.splice(place < 0 ? line.length : place, 0, job);
  };
  /** Those that wait and train with a job that gets a slot, shared evenly with `leads` that get theirs now. */
  const companionsOf = (job, leads) => {
    const line = waiting.get(job.teamId);
    const alike = line.filter((other) => parties.isAlike(job, other));
    const chosen = alike.slice(0, Math.min(parties.most - 1, Math.ceil(alike.length / leads)));
    for (const one of chosen) line.splice(line.indexOf(one), 1);
    together += chosen.length;
    return chosen;
  };
  const speedOf = (entry) => parties.gain(entry.members.length) / entry.members.length;
  /** The one of a slot that has the least left is the next to end. */
  const expectEnd = (entry) => {
    entry.run = Symbol(entry.job.id);
    const least = Math.min(...entry.members.map(({ left }) => left));
    push({ at: now + least / speedOf(entry), type: 'end', workerId: entry.workerId, run: entry.run });
  };
  const trainOn = (entry) => {
    for (const member of entry.members) member.left -= (now - entry.from) * speedOf(entry);
    entry.from = now;
  };
  const start = (job, workerId, leads = 1) => {
    const members = [job, ...companionsOf(job, leads)].map((one) => ({ job: one, left: one.seconds }));
    for (const { job: one } of members) if (!waits.has(one.id)) waits.set(one.id, now - one.at);
    const entry = { job, workerId, members, since: now, from: now, leaving: false };
    running.set(workerId, entry);
    expectEnd(entry);
  };
  const release = (workerId) => {
    const { job, since } = running.get(workerId);
    running.delete(workerId);
    spans.push([job.teamId, since, now]);
    const next = bound.get(workerId);
    bound.delete(workerId);
    if (next) start(next, workerId);
  };
  const take = (jobId) => {
    for (const line of waiting.values()) {
      const place = line.findIndex(({ id }) => id === jobId);
      if (place >= 0) return line.splice(place, 1)[0];
    }
    throw new Error(`nobody waits as ${jobId}`);
  };
  const happen = (event) => {
    if (event.type === 'arrive') return queue(event.job);
    const entry = running.get(event.workerId);
    if (event.type === 'leave' ? entry !== event.entry : entry?.run !== event.run) return;
    trainOn(entry);
    if (event.type === 'leave') {
      release(event.workerId);
      for (const { job, left } of entry.members) queue({ ...job, seconds: left + CHECKPOINT_SECONDS });
      return;
    }
    entry.members = entry.members.filter(({ left }) => left > 1e-6);
    if (entry.members.length === 0) return release(event.workerId);
    expectEnd(entry);
  };

  while (events.length + later.length > 0) {
    const first = Math.min(events[0]?.at ?? Infinity, later[0]?.at ?? Infinity);
    // The dispatcher looks once a second at the most.
    const next = Math.max(first, Math.ceil(first));
    const passed = next - now;
    const count = new Map();
    for (const { job } of running.values()) count.set(job.teamId, (count.get(job.teamId) ?? 0) + 1);
    for (const [id, used] of usage) {
      const fade = Math.exp(-passed / decay);
      usage.set(id, used * fade + (count.get(id) ?? 0) * decay * (1 - fade));
    }
    now = next;
    while (events.length > 0 && events[0].at <= now) happen(events.shift());
    while (later.length > 0 && later[0].at <= now) happen(later.shift());
    const placed = [
      ...[...running.values()].map((entry) => ({ ...entry, bound: false })),
      ...[...bound].map(([workerId, job]) => ({ job, workerId, since: null, leaving: false, bound: true })),
    ];
    const free = workers.length - running.size;
    const lines = [...waiting.values()].flatMap((line) => line.slice(0, free + 10));
    if (lines.length === 0) continue;
    const plan = decide({ now, placed, waiting: lines, usage });
    rounds += 1;
    const leads = plan.assignments.map(({ jobId, workerId }) => ({ job: take(jobId), workerId }));
    for (const [index, { job, workerId }] of leads.entries()) {
      const others = leads.slice(index + 1).filter((other) => parties.isAlike(job, other.job));
      start(job, workerId, 1 + others.length);
    }
    for (const { victimId, jobId, workerId } of plan.preemptions) {
      const victim = running.get(workerId);
      if (victim.job.id !== victimId) throw new Error(`${victimId} is not on ${workerId}`);
      victim.leaving = true;
      bound.set(workerId, take(jobId));
      push({ at: now + CHECKPOINT_SECONDS, type: 'leave', workerId, entry: victim });
      preemptions += 1;
    }
  }
  return { waits, spans, preemptions, rounds, end: now, together };
}

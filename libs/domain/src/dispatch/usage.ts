/** Half of a team's use of the machines is forgotten after an hour. */
export const usageHalfLifeMs = 3_600_000;
/** Time constant of that decay, seconds. */
export const usageDecaySeconds = usageHalfLifeMs / 1000 / Math.LN2;

const hourMs = 3_600_000;

/** The beginning of the calendar month (UTC) of an ISO time. */
export const monthStart = (at: string): string => `${at.slice(0, 7)}-01T00:00:00.000Z`;

/** Seconds from one ISO time to another, by the hours that they fall into. */
export function hourlySeconds(from: string, to: string): { hour: string; seconds: number }[] {
  const end = Date.parse(to);
  const pieces: { hour: string; seconds: number }[] = [];
  for (let begin = Date.parse(from); begin < end;) {
    const hour = Math.floor(begin / hourMs) * hourMs;
    const until = Math.min(end, hour + hourMs);
    pieces.push({ hour: new Date(hour).toISOString(), seconds: (until - begin) / 1000 });
    begin = until;
  }
  return pieces;
}

/** What a slot held since `from` until now weighs today: its seconds, each less by its age, e^(−age / usageDecaySeconds). */
export const decayedSeconds = (fromMs: number, nowMs: number): number =>
  usageDecaySeconds * -Math.expm1(-Math.max(0, nowMs - fromMs) / 1000 / usageDecaySeconds);

/** How a failure was survived: figures for the table, and everything that was not as it has to be. */
export interface Outcome {
  figure: string;
  /** Empty: the requirement holds. */
  problems: string[];
  /** The same as numbers, for the file of results. */
  values: Record<string, number | string>;
}

export interface Failure {
  /** Number in the list of docs/failures.md. */
  id: string;
  broken: string;
  required: string;
  run(scale: Scale): Promise<Outcome>;
}

/** How often, how many and how long: the full figure, or with --quick a small one. */
export interface Scale {
  quick: boolean;
  /** Seconds of the long native call. */
  nativeSeconds: number;
  /** Of the random draws, which are the same again with the same seed. When what was drawn comes about is not. */
  seed: number;
  pick(full: number, quick: number): number;
  /** The same for kills, whose number can be asked for. */
  kills(full: number, quick: number): number;
}

/** This machine lacks something that the failure needs. It counts as skipped, never as passed. */
export class Skipped extends Error {}

/** Collects what is wrong while a failure is tried. */
export class Problems {
  readonly list: string[] = [];

  check(holds: boolean, problem: string): void {
    if (!holds) this.list.push(problem);
  }

  atMost(value: number, limit: number, what: string): void {
    this.check(value <= limit, `${what}: ${rounded(value)}, at most ${limit} required`);
  }

  none(count: number, what: string): void {
    this.check(count === 0, `${count} ${what}`);
  }
}

/** For the figure: whether an adapter's bytes are those of the undisturbed run. */
export const compared = (same: boolean): string =>
  same ? 'SHA-256 as undisturbed' : 'SHA-256 NOT as undisturbed';

export const rounded = (value: number): string =>
  Number.isInteger(value) ? value.toLocaleString('en') : value.toFixed(1);

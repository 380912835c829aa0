import { type Job } from '@lowrank/contracts';
import { Skeleton } from '@mantine/core';
import { Suspense } from 'react';
import { type RunSelectProps } from './run-select';
import { lazyPart } from '../lib/lazy-part';

// A list that is searched is a sixth of what a page loads first.
const RunSelect = lazyPart(() => import('./run-select'));

export const runName = ({ adapter, version, id, state }: Job): string =>
  `${adapter}${version === null ? ` (${state})` : ` v${version}`} …${id.slice(-6)}`;

/** Chooses among the newest jobs that train, by name. */
export function RunPicker(props: RunSelectProps) {
  return (
    <Suspense fallback={<Skeleton height={49} width={240} aria-label="Loading" role="status" />}>
      <RunSelect {...props} />
    </Suspense>
  );
}

import { type Failure } from '../suite';
import { killsAtRandomSteps } from './07-kills-at-random-steps';

export const failures: readonly Failure[] = [killsAtRandomSteps];

import { type Failure } from '../suite';
import { redisFlushed } from './01-redis-flushed';
import { apiKilled } from './02-api-killed';
import { redisGone } from './03-redis-gone';
import { longNativeCall } from './04-long-native-call';
import { workerFrozen } from './05-worker-frozen';
import { trainersKilled } from './06-trainers-killed';
import { killsAtRandomSteps } from './07-kills-at-random-steps';
import { diskFull } from './08-disk-full';
import { sigterm } from './09-sigterm';
import { outOfMemory } from './10-out-of-memory';
import { lossNotFinite } from './11-not-finite';
import { publishers } from './12-publishers';
import { storeTrouble } from './13-store-trouble';
import { postgresRestarted } from './14-postgres-restarted';
import { rollingDeploy } from './15-rolling-deploy';
import { cancelled } from './cancel';
import { failover } from './failover';

/** In the order of docs/failures.md. */
export const failures: readonly Failure[] = [
  redisFlushed,
  apiKilled,
  redisGone,
  longNativeCall,
  workerFrozen,
  trainersKilled,
  killsAtRandomSteps,
  diskFull,
  sigterm,
  outOfMemory,
  lossNotFinite,
  publishers,
  storeTrouble,
  postgresRestarted,
  rollingDeploy,
  cancelled,
  failover,
];

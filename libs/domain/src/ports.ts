import { type Clock, type Ids } from './ports/clock';
import { type DataPlanner } from './ports/data-planner';
import { type UnitOfWork } from './ports/repositories';

/** What use cases stand on; each takes the part that it needs. */
export interface Ports {
  unitOfWork: UnitOfWork;
  clock: Clock;
  ids: Ids;
  /** Left out where tokens cannot be counted: jobs submitted there have no estimate of their data. */
  planner?: DataPlanner;
}

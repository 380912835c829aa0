import { type Clock, type Ids } from './ports/clock';
import { type UnitOfWork } from './ports/repositories';

/** What use cases stand on; each takes the part that it needs. */
export interface Ports {
  unitOfWork: UnitOfWork;
  clock: Clock;
  ids: Ids;
}

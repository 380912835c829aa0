import { type Offer } from '../ports/repositories';
import { Board, bytesOn } from './board';
import { type PlacedJob, type PlanWorker } from './state';

/** Jobs of a team looked at for a class: as many as it has free slots, within reason, and some in case the first do not fit. */
const mostPerTeam = 200;
const spare = 10;
/** Workers of a class whose rooms are offered one by one, the largest rooms first; the others have their turn in the next rounds. */
const mostRooms = 4;

/**
 * What the workers offer to jobs that wait: of each class its free slots, with the memory that is left beside them, and a worker as if
 * all of its slots were free, for jobs that may have one kept for them or be given the slot of another. Jobs that suit no offer need
 * not be looked at, so that none can hide others behind them.
 */
export function offersOf(workers: readonly PlanWorker[], placed: readonly PlacedJob[]): Offer[] {
  const open = new Board(workers, placed).open;
  return [...new Set(workers.map(({ deviceClass }) => deviceClass))].flatMap((deviceClass) => {
    const free = open.filter(({ worker }) => worker.deviceClass === deviceClass);
    const most = Math.min(mostPerTeam, free.reduce((slots, place) => slots + place.free, 0) + spare);
    const rooms = free.map(({ worker, freeBytes }) => ({
      ...{ deviceClass, most, roomBytes: worker.memoryBytes === 0 ? null : freeBytes },
      hasShare: bytesOn(worker, { memoryBytes: null }) <= freeBytes,
    }));
    const whole = workers
      .filter((worker) => worker.deviceClass === deviceClass)
      .map(({ memoryBytes }) => ({
        ...{ deviceClass, most: spare, roomBytes: memoryBytes === 0 ? null : memoryBytes },
        hasShare: true,
      }));
    return [...largest(rooms, mostRooms), ...largest(whole, 1)];
  });
}

/** Of offers of a class the largest, equal ones once. */
function largest(offers: Offer[], count: number): Offer[] {
  const distinct = new Map(offers.map((offer) => [`${offer.roomBytes} ${offer.hasShare}`, offer]));
  const sizeOf = ({ roomBytes }: Offer) => roomBytes ?? Number.MAX_VALUE;
  return [...distinct.values()].sort((a, b) => sizeOf(b) - sizeOf(a)).slice(0, count);
}

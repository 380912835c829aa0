import { createUnitOfWork } from '@lowrank/db';
import { type Ports, randomIds, systemClock } from '@lowrank/domain';
import { testDatabase } from '@lowrank/testing';

/** The use cases' ports on a Postgres database of its own. */
export interface World {
  ports: Ports;
  databaseUrl: string;
  /** Disconnects and removes the database. */
  end(): Promise<void>;
}

export async function testWorld(): Promise<World> {
  const database = await testDatabase();
  const unitOfWork = createUnitOfWork(database.url);
  return {
    ports: { unitOfWork, clock: systemClock, ids: randomIds },
    databaseUrl: database.url,
    end: async () => {
      await unitOfWork.close();
      await database.drop();
    },
  };
}

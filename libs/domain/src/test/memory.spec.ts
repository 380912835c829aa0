import { unitOfWorkConformance } from '@lowrank/testing';
import { MemoryUnitOfWork } from './memory';

unitOfWorkConformance('the double of Postgres', async () => ({
  unitOfWork: new MemoryUnitOfWork(),
  close: async () => {},
}));

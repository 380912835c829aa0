import { unitOfWorkConformance } from '@lowrank/testing';
import { SpecDatabase } from './test/database';

const database = new SpecDatabase({ seed: false });
unitOfWorkConformance('Postgres', async () => ({ unitOfWork: database.unitOfWork, close: async () => {} }));

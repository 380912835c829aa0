export { createUnitOfWork } from './unit-of-work';

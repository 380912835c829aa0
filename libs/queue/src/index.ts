export { type QueueConnection } from './backend';
export { createJobConsumer, type JobConsumerOptions } from './job-consumer';
export { createJobQueue } from './job-queue';

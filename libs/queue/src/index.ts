export { type QueueConnection } from './backend';
export { createQueueInspector } from './inspector';
export { createJobConsumer, type JobConsumerOptions } from './job-consumer';
export { createJobQueue } from './job-queue';

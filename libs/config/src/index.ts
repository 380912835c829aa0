export { type Config, type S3Config, describeConfig, loadConfig, variableNames } from './config';
export { repositoryRoot } from './root';
export { describeRedis, type RedisConfig, type RedisNode } from './redis';

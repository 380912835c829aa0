export { type Config, type S3Config, describeConfig, loadConfig, secretsOf, variableNames } from './config';
export { repositoryRoot } from './root';
export { describeRedis, type RedisConfig, type RedisNode } from './redis';

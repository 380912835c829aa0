export { type Config, type S3Config, describeConfig, loadConfig } from './config';
export { repositoryRoot } from './root';

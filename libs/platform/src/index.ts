export { defaultTeam, ensureAdminKey } from './admin-key';
export { migrate } from './migrate';
export { type EmbeddedPostgres, type PostgresOptions, startPostgres } from './postgres';

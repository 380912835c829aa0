import { defineConfig } from 'prisma/config';

// `generate` never runs the schema engine, but fails when it cannot download it. Migrations are plain SQL, applied by
// libs/platform, so nothing here needs that engine.
process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= '/bin/true';

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
});

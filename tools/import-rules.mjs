// Who may import whom. Each project carries one tag in its project.json; this table says what a tag may import. It is the whole
// truth: eslint.config.mjs turns it into errors, docs/architecture.md explains it.
export const mayImport = {
  contracts: [],
  client: [],
  kernels: [],
  telemetry: [],
  config: ['contracts'],
  domain: ['contracts'],
  datasets: ['contracts'],
  db: ['domain', 'contracts', 'config'],
  queue: ['domain', 'contracts', 'config', 'telemetry'],
  storage: ['domain', 'contracts', 'config'],
  outbound: ['contracts'],
  platform: ['domain', 'contracts', 'config', 'db'],
  training: ['kernels', 'datasets', 'domain', 'contracts', 'telemetry'],
  api: ['domain', 'contracts', 'datasets', 'db', 'queue', 'storage', 'outbound', 'config', 'telemetry'],
  worker: ['domain', 'contracts', 'db', 'queue', 'storage', 'outbound', 'config', 'telemetry'],
  trainer: ['kernels', 'training', 'datasets', 'storage', 'contracts', 'config', 'telemetry'],
  serve: ['kernels', 'training', 'datasets', 'domain', 'contracts', 'storage', 'config', 'telemetry'],
  cli: [
    'contracts',
    'config',
    'domain',
    'db',
    'queue',
    'storage',
    'platform',
    'datasets',
    'training',
    'kernels',
  ],
  dashboard: ['contracts'],
  testing: ['contracts', 'domain', 'config', 'db', 'storage', 'queue', 'platform'],
};

// Packages that only the named tags may import; every other package is open to all but the pure projects below.
export const packageOwners = [
  { pattern: '^openapi-fetch$', tags: ['client'] },
  { pattern: '^@prisma/|^pg$', tags: ['db', 'platform', 'testing'] },
  { pattern: '^bullmq$', tags: ['queue', 'worker'] },
  { pattern: '^ioredis$', tags: ['queue'] },
  { pattern: '^@nestjs/', tags: ['api', 'worker'] },
  { pattern: '^@aws-sdk/', tags: ['storage'] },
  { pattern: '^@opentelemetry/(?!api$)', tags: ['telemetry'] },
  { pattern: '^koffi$', tags: ['kernels'] },
  { pattern: '^(react|react-dom|uplot)(/|$)|^@(mantine|tanstack)/', tags: ['dashboard'] },
  { pattern: '^@huggingface/(tokenizers|jinja)', tags: ['datasets'] },
];

// Projects that stay free of technology: the only packages they may import.
export const pureProjects = { contracts: ['zod'], domain: [] };

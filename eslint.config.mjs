import js from '@eslint/js';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { importX } from 'eslint-plugin-import-x';
import reactHooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';
import { mayImport, packageOwners, pureProjects } from './tools/import-rules.mjs';

const projects = ['apps', 'libs'].flatMap((folder) =>
  readdirSync(new URL(folder, import.meta.url))
    .map((name) => `${folder}/${name}`)
    .filter((path) => existsSync(new URL(`${path}/project.json`, import.meta.url)))
    .map((path) => ({
      path,
      tag: JSON.parse(readFileSync(new URL(`${path}/project.json`, import.meta.url), 'utf8')).tags[0],
    })),
);
for (const { path, tag } of projects) {
  if (!(tag in mayImport))
    throw new Error(`${path}/project.json: tag '${tag}' is not in tools/import-rules.mjs`);
}

/** no-restricted-imports for one project: other projects, packages owned elsewhere, and ways around the walls. */
function walls(tag, { test = false } = {}) {
  const allowed = [...mayImport[tag], ...(test ? ['testing', 'client'] : [])];
  const own = `@lowrank/${tag}`;
  const patterns = [
    {
      regex: `^@lowrank/(?!(${allowed.join('|') || '-'})$)`,
      message: `'${tag}' may import ${allowed.length ? allowed.join(', ') : 'nothing'} of the repository (tools/import-rules.mjs), through its index.`,
    },
    { regex: '(^|/)(apps|libs)/', message: 'Import another project by its @lowrank/ alias.' },
    { regex: `^${own}$`, message: 'Inside a project, import by relative path.' },
    ...packageOwners
      .filter((owner) => !owner.tags.includes(tag))
      .map((owner) => ({
        regex: owner.pattern,
        message: `Only ${owner.tags.join(', ')} may import this package.`,
      })),
  ];
  if (tag in pureProjects && !test) {
    patterns.push({
      regex: `^(?!\\.|@lowrank/|node:|(${pureProjects[tag].join('|') || '-'})$)`,
      message: `'${tag}' stays free of packages${pureProjects[tag].length ? ` other than ${pureProjects[tag].join(', ')}` : ''}.`,
    });
  }
  return { 'no-restricted-imports': ['error', { patterns }] };
}

const perProject = projects.flatMap(({ path, tag }) => [
  { files: [`${path}/**/*.{ts,tsx}`], rules: walls(tag) },
  { files: [`${path}/**/*.spec.ts`, `${path}/**/test/**/*.ts`], rules: walls(tag, { test: true }) },
]);

export default tseslint.config(
  { ignores: ['**/node_modules', '**/dist', '**/build', '**/generated', '**/.venv', '.nx', '.lowrank'] },
  js.configs.recommended,
  ...tseslint.configs.recommended,
  {
    plugins: { 'import-x': importX },
    settings: {
      'import-x/resolver-next': [
        importX.createNodeResolver({
          tsconfig: { configFile: './tsconfig.base.json' },
          extensions: ['.ts', '.tsx', '.js', '.mjs'],
        }),
      ],
    },
    rules: {
      'import-x/no-cycle': ['error', { ignoreExternal: true }],
      'max-lines': ['error', { max: 400 }],
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  // Nest injects by the run-time class, so an import used only as a parameter type must stay a value.
  {
    files: ['apps/api/**/*.ts', 'apps/worker/**/*.ts'],
    rules: { '@typescript-eslint/consistent-type-imports': 'off' },
  },
  { files: ['apps/dashboard/src/**/*.{ts,tsx}'], ...reactHooks.configs.flat.recommended },
  {
    files: ['**/*.mjs'],
    languageOptions: {
      globals: {
        process: 'readonly',
        URL: 'readonly',
        console: 'readonly',
        fetch: 'readonly',
        setTimeout: 'readonly',
        clearTimeout: 'readonly',
        performance: 'readonly',
        AbortSignal: 'readonly',
      },
    },
  },
  {
    // What runs in the browser, written out in the benchmark.
    files: ['bench/dashboard.mjs'],
    languageOptions: {
      globals: {
        window: 'readonly',
        document: 'readonly',
        requestAnimationFrame: 'readonly',
        cancelAnimationFrame: 'readonly',
        requestIdleCallback: 'readonly',
      },
    },
  },
  {
    files: ['apps/dashboard/public/*.js'],
    languageOptions: { globals: { window: 'readonly', document: 'readonly' } },
  },
  ...perProject,
);

import { execFileSync } from 'node:child_process';

type Case = [title: string, path: string, code: string];

const refused: Case[] = [
  ['a queue in domain', 'libs/domain/src/probe.ts', `export * from 'bullmq';\n`],
  ['db in domain', 'libs/domain/src/probe.ts', `export * from '@lowrank/db';\n`],
  ['anything but zod in contracts', 'libs/contracts/src/probe.ts', `export * from 'pino';\n`],
  ['kernels in the API', 'apps/api/src/probe.ts', `export * from '@lowrank/kernels';\n`],
  ['Prisma outside db', 'apps/worker/src/probe.ts', `export * from '@prisma/client';\n`],
  ['the AWS SDK outside storage', 'libs/training/src/probe.ts', `export * from '@aws-sdk/client-s3';\n`],
  ['a path behind an index', 'apps/api/src/probe.ts', `export * from '@lowrank/domain/src/ports/clock';\n`],
  ['a relative way around', 'apps/api/src/probe.ts', `export * from '../../../libs/db/src/index';\n`],
  ['oneself by alias', 'libs/db/src/probe.ts', `export * from '@lowrank/db';\n`],
  ['domain in the dashboard', 'apps/dashboard/src/probe.tsx', `export * from '@lowrank/domain';\n`],
  ['React outside the dashboard', 'apps/api/src/probe.ts', `export * from 'react';\n`],
  ['testing outside tests', 'apps/api/src/probe.ts', `export * from '@lowrank/testing';\n`],
];
const allowed: Case[] = [
  ['zod in contracts', 'libs/contracts/src/probe.ts', `export { z } from 'zod';\n`],
  ['contracts in domain', 'libs/domain/src/probe.ts', `export * from '@lowrank/contracts';\n`],
  ['contracts in the dashboard', 'apps/dashboard/src/probe.tsx', `export * from '@lowrank/contracts';\n`],
  ['testing in a test', 'apps/api/src/probe.spec.ts', `export * from '@lowrank/testing';\n`],
  ['node built-ins in domain', 'libs/domain/src/probe.ts', `export { randomBytes } from 'node:crypto';\n`],
];

// ESLint loads its configuration as an ES module, which Jest's sandbox cannot: it runs in a process of its own, once.
const lint = `
  import { ESLint } from 'eslint';
  const eslint = new ESLint();
  const broken = {};
  for (const [title, filePath, code] of JSON.parse(process.argv[1])) {
    const [result] = await eslint.lintText(code, { filePath });
    broken[title] = result.messages.map((message) => message.ruleId);
  }
  process.stdout.write(JSON.stringify(broken));
`;

describe('import rules', () => {
  let brokenRules: Record<string, (string | null)[]>;

  beforeAll(() => {
    const cases = JSON.stringify([...refused, ...allowed]);
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', lint, cases], {
      encoding: 'utf8',
    });
    brokenRules = JSON.parse(output);
  });

  it.each(refused)('refuse %s', (title) => {
    expect(brokenRules[title]).toContain('no-restricted-imports');
  });

  it.each(allowed)('allow %s', (title) => {
    expect(brokenRules[title]).not.toContain('no-restricted-imports');
  });
});

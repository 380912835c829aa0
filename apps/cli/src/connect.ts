import { type Config, loadConfig } from '@lowrank/config';
import { type Command } from 'commander';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { Api } from './client/api';
import { CliError, exitCodes } from './errors';

/** Options that every command takes. */
export interface GlobalOptions {
  url?: string;
  key?: string;
  verbose?: boolean;
}

const runningSchema = z.object({ pid: z.int().positive(), url: z.url() });
/** What a running `lowrank up` leaves in its data folder, for other commands on the machine. */
export type Running = z.infer<typeof runningSchema>;

export const runningFile = (dataDir: string): string => join(dataDir, 'up.json');
export const adminKeyFile = (dataDir: string): string => join(dataDir, 'admin-key');

/** The `lowrank up` that runs on this data folder, or null; one that died without clearing up counts as none. */
export function findRunning(dataDir: string): Running | null {
  const text = readIfThere(runningFile(dataDir));
  if (text === null) return null;
  const running = runningSchema.safeParse(JSON.parse(text || 'null'));
  return running.success && isAlive(running.data.pid) ? running.data : null;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Where the server is: --url (or LOWRANK_URL), what runs on this machine's data folder, the configured address. */
export function serverUrl(options: GlobalOptions, config: Config): string {
  const url =
    options.url ?? findRunning(config.dataDir)?.url ?? `http://${urlHost(config.host)}:${config.port}`;
  if (!/^https?:\/\//.test(url)) {
    throw new CliError(`'${url}' is not a URL`, {
      help: 'Give it as http://host:port or https://host.',
      exitCode: exitCodes.usage,
    });
  }
  return url.replace(/\/+$/, '');
}

/** A host as it stands in a URL for clients on this machine. */
export function urlHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

/** The client that a command's global options, the environment and this machine's data folder make. */
export function connect(command: Command): Api {
  const options = command.optsWithGlobals<GlobalOptions>();
  const config = loadConfig();
  const url = serverUrl(options, config);
  // The key of this machine's own server goes to no other.
  const own = isLoopback(url) ? readIfThere(adminKeyFile(config.dataDir))?.trim() : null;
  const key = options.key ?? process.env.LOWRANK_API_KEY ?? own;
  if (!key) {
    throw new CliError('no API key', {
      help: `Give one with --key or LOWRANK_API_KEY. On the server's own machine it lies in ${adminKeyFile(config.dataDir)} after the first "lowrank up".`,
      exitCode: exitCodes.unauthorized,
    });
  }
  return new Api(url, key);
}

const isLoopback = (url: string): boolean =>
  /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(url).hostname);

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

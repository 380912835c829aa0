import { type Repositories, type UnitOfWork } from '@lowrank/domain';
import { seedTeam, type SeededTeam, testDatabase } from '@lowrank/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { createUnitOfWork } from '../unit-of-work';

/** The database of one spec file, empty before each test, with a look behind the ports. */
export class SpecDatabase {
  url = '';
  unitOfWork!: UnitOfWork;
  /** A team with base model and dataset. */
  crew!: SeededTeam;
  private client!: Client;
  private drop = async () => {};

  /** Registers set-up and clean-up with Jest. */
  constructor(private readonly options: { seed?: boolean } = {}) {
    beforeAll(async () => {
      const { url, drop } = await testDatabase();
      Object.assign(this, { url, drop });
      this.unitOfWork = createUnitOfWork(url);
      this.client = new Client({ connectionString: url, application_name: 'spec' });
      await this.client.connect();
    });
    beforeEach(() => this.empty());
    afterAll(async () => {
      await this.unitOfWork?.close();
      await this.client?.end();
      await this.drop();
    });
  }

  run<T>(work: (repositories: Repositories) => Promise<T>): Promise<T> {
    return this.unitOfWork.run(work);
  }

  async sql<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.client.query<Row>(text, values)).rows;
  }

  /** Ends the server's side of every connection but our own; resolves to how many. */
  async cutAll(): Promise<number> {
    const rows = await this.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name LIKE 'lowrank%'`,
    );
    return rows.length;
  }

  /** Waits until a connection of ours waits for a lock. */
  async untilBlocked(): Promise<void> {
    const blocked = `SELECT 1 FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'lowrank' AND wait_event_type = 'Lock'`;
    for (const end = Date.now() + 10_000; (await this.sql(blocked)).length === 0; await sleep(10))
      if (Date.now() > end) throw new Error('nobody waits for a lock');
  }

  private async empty(): Promise<void> {
    await this
      .sql(`DELETE FROM outbox; DELETE FROM adapter_versions; DELETE FROM jobs; DELETE FROM sweeps; DELETE FROM adapters;
      DELETE FROM datasets; DELETE FROM dataset_names; DELETE FROM uploads; DELETE FROM base_models; DELETE FROM api_keys; DELETE FROM team_usage;
      DELETE FROM completion_usage; DELETE FROM grants; DELETE FROM webhooks; DELETE FROM audit_log; DELETE FROM sessions; DELETE FROM password_resets;
      DELETE FROM sign_in_attempts; DELETE FROM invitations; DELETE FROM members; DELETE FROM users; DELETE FROM teams; DELETE FROM workers;
      DELETE FROM discarded_blobs`);
    if (this.options.seed !== false) this.crew = await seedTeam(this.unitOfWork);
  }
}

/** A promise and what resolves it: holds a transaction open until the test lets it go. */
export function gate(): { passed: Promise<void>; open: () => void } {
  let open = () => {};
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}

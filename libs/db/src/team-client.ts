import { AsyncLocalStorage } from 'node:async_hooks';
import { escapeLiteral, Query, type QueryConfig, type QueryResult } from 'pg';
import { ImpatientClient } from './impatient-client';

/** The role that row-level security binds; the migration row_level_security makes it. */
export const teamRole = 'lowrank_api';

/** Whose rows a transaction may see. */
export interface Sight {
  /** null: everybody's. */
  teamId: string | null;
  /** Each of its statements is a transaction of its own. */
  isSingle: boolean;
}

const sights = new AsyncLocalStorage<Sight>();

/** Transactions that begin within `work` see no more than this. */
export const seeing = <T>(sight: Sight, work: () => Promise<T>): Promise<T> => sights.run(sight, work);

const prelude = {
  name: 'lowrank_sight',
  text: `SELECT set_config('role', '${teamRole}', true), set_config('lowrank.team_id', $1, true)`,
};

/** What pg's Query uses of a connection, https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY */
interface Wire {
  parsedStatements: Record<string, string>;
  bind(message: { portal: string; statement: string; values: string[] }): void;
  execute(message: { portal: string }): void;
}
type Callback = (error: Error | null, result: QueryResult) => void;
interface Handlers {
  prepare(wire: Wire): void;
  handleDataRow(message: unknown): void;
  handleCommandComplete(message: unknown, wire: Wire): void;
}
const WireQuery = Query as unknown as new (
  config: QueryConfig,
  values: undefined,
  callback: Callback,
) => Handlers;

/**
 * A statement for one team, in one round trip: what is sent before the Sync message is one transaction, so the prepared prelude and the
 * statement share theirs, and role and team end with it.
 */
class TeamQuery extends WireQuery {
  private isPrelude = true;

  constructor(
    config: QueryConfig,
    private readonly teamId: string,
    callback: Callback,
  ) {
    // A statement that is sent as plain text would be a message, and a transaction, of its own.
    super({ ...config, queryMode: 'extended' } as QueryConfig, undefined, callback);
  }

  override prepare(wire: Wire): void {
    wire.bind({ portal: '', statement: prelude.name, values: [this.teamId] });
    wire.execute({ portal: '' });
    super.prepare(wire);
  }

  override handleDataRow(message: unknown): void {
    if (!this.isPrelude) super.handleDataRow(message);
  }

  override handleCommandComplete(message: unknown, wire: Wire): void {
    if (!this.isPrelude) super.handleCommandComplete(message, wire);
    this.isPrelude = false;
  }
}

/**
 * A client of a pool whose transactions see what `seeing` lets them. Their role and team are set with BEGIN, in the same round trip; of
 * single statements with each, and then nothing else is sent. A transaction that begins outside of `seeing` is refused.
 */
export class TeamClient extends ImpatientClient {
  /** Whose single statements are sent until COMMIT or ROLLBACK. */
  private single: string | null = null;

  constructor(...args: ConstructorParameters<typeof ImpatientClient>) {
    super(...args);
    const send = this.query.bind(this) as (config: unknown) => Promise<QueryResult>;
    const scoped = (config: QueryConfig, ...rest: unknown[]) => {
      if (config.text === 'BEGIN') return this.begin(send);
      if (this.single === null) return (send as (...all: unknown[]) => unknown)(config, ...rest);
      if (config.text === 'COMMIT' || config.text === 'ROLLBACK') {
        this.single = null;
        return nothing();
      }
      return this.sendFor(this.single, config, send);
    };
    this.query = scoped as unknown as typeof this.query;
  }

  private begin(send: (config: unknown) => Promise<QueryResult>): Promise<QueryResult> {
    const sight = sights.getStore();
    if (sight === undefined) throw new Error('a transaction began without saying whose rows it may see');
    if (sight.teamId === null) return send({ text: 'BEGIN' });
    if (sight.isSingle) {
      this.single = sight.teamId;
      return nothing();
    }
    // SET and not set_config: a query would fix the isolation level, which Prisma sets next.
    return send({
      text: `BEGIN; SET LOCAL ROLE ${teamRole}; SET LOCAL lowrank.team_id = ${escapeLiteral(sight.teamId)}`,
    });
  }

  private async sendFor(
    teamId: string,
    config: QueryConfig,
    send: (config: unknown) => Promise<QueryResult>,
  ): Promise<QueryResult> {
    const { parsedStatements } = (this as unknown as { connection: Wire }).connection;
    if (parsedStatements[prelude.name] === undefined) await send({ ...prelude, values: [''] });
    return this.dropIfLate(
      new Promise((resolve, reject) => {
        const query = new TeamQuery(config, teamId, (error, result) =>
          error ? reject(error) : resolve(result),
        );
        this.submit(query);
      }),
    );
  }
}

const nothing = async () => ({ command: '', oid: 0, rowCount: 0, rows: [], fields: [] });

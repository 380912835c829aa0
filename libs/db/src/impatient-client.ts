import { Client } from 'pg';

type Query = (...args: unknown[]) => Promise<unknown> | undefined;

/**
 * A client of a pool that drops its connection when an answer is late (`query_timeout`). pg alone reports the lateness and keeps the
 * connection, which a network that swallows packets never ends: every later query on it would wait behind the lost one.
 */
export class ImpatientClient extends Client {
  constructor(...args: ConstructorParameters<typeof Client>) {
    super(...args);
    const query = this.query.bind(this) as Query;
    const stream = () =>
      (this as unknown as { connection: { stream: { destroy(): void } } }).connection.stream;
    const impatient: Query = (...queryArgs) => {
      const answer = query(...queryArgs);
      answer?.catch((error: Error) => error.message === 'Query read timeout' && stream().destroy());
      return answer;
    };
    this.query = impatient as typeof this.query;
  }
}

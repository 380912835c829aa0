import { Client } from 'pg';

type Send = (...args: unknown[]) => Promise<unknown> | undefined;

/**
 * A client of a pool that drops its connection when an answer is late (`query_timeout`). pg alone reports the lateness and keeps the
 * connection, which a network that swallows packets never ends: every later query on it would wait behind the lost one.
 */
export class ImpatientClient extends Client {
  /** As pg's own: takes a query object that answers by its callback. */
  protected readonly submit: (query: unknown) => void;

  constructor(...args: ConstructorParameters<typeof Client>) {
    super(...args);
    const send = this.query.bind(this) as Send;
    this.submit = send;
    const impatient: Send = (...queryArgs) => {
      const answer = send(...queryArgs);
      return answer && this.dropIfLate(answer);
    };
    this.query = impatient as typeof this.query;
  }

  protected dropIfLate<T>(answer: Promise<T>): Promise<T> {
    const { stream } = (this as unknown as { connection: { stream: { destroy(): void } } }).connection;
    answer.catch((error: Error) => error.message === 'Query read timeout' && stream.destroy());
    return answer;
  }
}

/** What is wrong with one row: `path` names the field, as `messages.1.role`. */
export class RowError extends Error {
  constructor(
    message: string,
    readonly path?: string,
  ) {
    super(message);
  }
}

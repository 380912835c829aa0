import { notifications } from '@mantine/notifications';
import { ApiError } from './api';

/** Tells in a corner of the page that something was done. */
export function notify(message: string): void {
  notifications.show({ message, color: 'teal', withBorder: true });
}

/** Tells in a corner of the page what went wrong and what to do: for actions that have no place of their own to say so. */
export function notifyError(error: unknown): void {
  const isKnown = error instanceof ApiError;
  notifications.show({
    title: isKnown ? error.message : 'Something went wrong',
    message: isKnown ? error.help : String(error),
    color: 'red',
    withBorder: true,
    autoClose: 10_000,
  });
}

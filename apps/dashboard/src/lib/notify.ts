import { type NotificationData } from '@mantine/notifications';
import { ApiError } from './api';

/** The code that shows them comes by itself, after the page. */
const show = async (what: NotificationData): Promise<void> => {
  const { notifications } = await import('@mantine/notifications');
  notifications.show(what);
};

/** Tells in a corner of the page that something was done. */
export function notify(message: string): void {
  void show({ message, color: 'teal', withBorder: true });
}

/** Tells in a corner of the page what went wrong and what to do: for actions that have no place of their own to say so. */
export function notifyError(error: unknown): void {
  const isKnown = error instanceof ApiError;
  void show({
    title: isKnown ? error.message : 'Something went wrong',
    message: isKnown ? error.help : String(error),
    color: 'red',
    withBorder: true,
    autoClose: 10_000,
  });
}

import '@mantine/notifications/styles.css';
import { Notifications as All } from '@mantine/notifications';

/** Where `notify` tells what was done. */
export default function Notifications() {
  return <All position="bottom-right" containerWidth={380} />;
}

import { Alert, Code, Group, Text } from '@mantine/core';
import { CopyIcon } from './copy-icon';

/** A secret that the server does not have any more: it is on this page until it is left, and nowhere else. */
export function SecretOnce({ title, secret, label }: { title: string; secret: string; label: string }) {
  return (
    <Alert color="teal" title={title} role="status">
      <Group gap="xs" wrap="nowrap">
        <Code className="wrap-anywhere" aria-label={label} role="group">
          {secret}
        </Code>
        <CopyIcon value={secret} label={`Copy ${label}`} />
      </Group>
      <Text size="sm" mt="xs">
        It is shown this once. Keep it where others do not see it.
      </Text>
    </Alert>
  );
}

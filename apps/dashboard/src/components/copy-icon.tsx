import { ActionIcon, CopyButton, Tooltip } from '@mantine/core';
import { Icon } from './icon';

/** A button that copies a text, and says that it has. */
export function CopyIcon({
  value,
  label,
  style,
}: {
  value: string;
  label: string;
  style?: React.CSSProperties;
}) {
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? 'Copied' : label}>
          <ActionIcon
            variant="default"
            onClick={copy}
            aria-label={copied ? 'Copied' : label}
            style={style}
            size="md"
          >
            <Icon name={copied ? 'check' : 'copy'} size={15} />
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}

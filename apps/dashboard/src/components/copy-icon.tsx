import { ActionIcon, CopyButton } from '@mantine/core';
import { type CSSProperties } from 'react';
import { Icon } from './icon';

interface CopyIconProps {
  value: string;
  label: string;
  style?: CSSProperties;
}

/** A button that copies a text, and says that it has. */
export function CopyIcon({ value, label, style }: CopyIconProps) {
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => {
        const says = copied ? 'Copied' : label;
        return (
          <ActionIcon variant="default" onClick={copy} aria-label={says} title={says} style={style} size="md">
            <Icon name={copied ? 'check' : 'copy'} size={15} />
          </ActionIcon>
        );
      }}
    </CopyButton>
  );
}

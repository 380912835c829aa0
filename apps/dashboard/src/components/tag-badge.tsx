import { Badge } from '@mantine/core';
import { type ReactNode } from 'react';

/** A short word beside others, such as an alias or a role; the colour only helps. */
export function TagBadge({ children, color = 'gray' }: { children: ReactNode; color?: string }) {
  return (
    <Badge
      variant="light"
      tt="none"
      radius="sm"
      miw="max-content"
      color={color}
      style={{
        color: `light-dark(color-mix(in srgb, var(--mantine-color-${color}-9), black 40%), var(--mantine-color-${color}-2))`,
        flex: 'none',
      }}
    >
      {children}
    </Badge>
  );
}

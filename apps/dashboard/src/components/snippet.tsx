import { Box, Tabs } from '@mantine/core';
import { CopyIcon } from './copy-icon';

export interface SnippetTab {
  label: string;
  code: string;
}

/** Text to copy, such as a command; with several tabs the same in several ways. */
export function Snippet({
  label,
  tabs,
  maxHeight,
}: {
  label: string;
  tabs: SnippetTab[];
  maxHeight?: number;
}) {
  const [first] = tabs;
  if (first === undefined) return null;
  if (tabs.length === 1) return <Copyable label={label} code={first.code} maxHeight={maxHeight} />;
  return (
    <Tabs defaultValue={first.label} keepMounted={false}>
      <Tabs.List mb="xs" aria-label={label}>
        {tabs.map((tab) => (
          <Tabs.Tab key={tab.label} value={tab.label}>
            {tab.label}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {tabs.map((tab) => (
        <Tabs.Panel key={tab.label} value={tab.label}>
          <Copyable label={`${label}: ${tab.label}`} code={tab.code} maxHeight={maxHeight} />
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}

function Copyable({ label, code, maxHeight = 360 }: { label: string; code: string; maxHeight?: number }) {
  return (
    <Box pos="relative">
      <pre
        className="code"
        tabIndex={0}
        role="region"
        aria-label={label}
        style={{ maxHeight, paddingRight: 48 }}
      >
        <code>{code}</code>
      </pre>
      <CopyIcon value={code} label={`Copy ${label}`} style={{ position: 'absolute', top: 6, right: 6 }} />
    </Box>
  );
}

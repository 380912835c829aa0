import { Group, Text } from '@mantine/core';
import { LinkButton } from '../../components/links';
import { Icon } from '../../components/icon';
import { Section } from '../../components/section';
import { Snippet } from '../../components/snippet';
import { useMay } from '../../lib/session';
import { type AdapterProps, namesOf } from './adapter-page';
import { ExportsSection } from './exports-section';
import { PinsSection } from './pins-section';
import { snippetsOf } from './snippets';

/** How programs use a version, and the version in other formats. */
export default function UseView(props: AdapterProps) {
  const { adapter, aliases, version, ownerName } = props;
  const may = useMay();
  const isOwn = adapter.sharedBy === null;
  // Programs had better ask for a name that moves, where there is one.
  const ref = namesOf(version.number, aliases)[0] ?? `v${version.number}`;
  const full = isOwn ? adapter.name : `${ownerName}/${adapter.name}`;
  return (
    <>
      <Section
        title="From a program"
        aside={
          may('completions.generate') && (
            <LinkButton
              to="/try"
              search={{ left: isOwn ? adapter.baseModel : undefined, right: `${full}@${ref}` }}
              size="xs"
              variant="default"
              leftSection={<Icon name="chat" size={15} />}
            >
              Try {ref}
            </LinkButton>
          )
        }
      >
        <Group mb="xs">
          <Text size="sm" c="dimmed">
            With an API key in the place of <code>lrk_…</code>.
          </Text>
        </Group>
        <Snippet
          label="Use this version"
          tabs={snippetsOf({
            url: location.origin,
            owner: ownerName,
            isOwn,
            adapter: adapter.name,
            ref,
            baseModel: version.baseModel.name,
          })}
        />
      </Section>
      {isOwn && may('adapters.read') && <PinsSection {...props} />}
      {isOwn && <ExportsSection {...props} />}
    </>
  );
}

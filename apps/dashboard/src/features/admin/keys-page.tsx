import { Stack } from '@mantine/core';
import { type Member } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { KeyForm } from '../../components/keys/key-form';
import { KeyList } from '../../components/keys/key-list';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { apiQuery } from '../../lib/query';
import { useMay } from '../../lib/session';

const path = '/api/v1/keys';

/** The team's API keys: making one, whose secret is shown once, and revoking. */
export function KeysPage() {
  const mayWrite = useMay()('keys.write');
  const members = useQuery(apiQuery<{ data: Member[] }>('/api/v1/members'));
  return (
    <>
      <PageHeader
        title="API keys"
        description="What programs, the CLI and other clients prove themselves by."
      />
      <Stack gap="md">
        {mayWrite && (
          <Section title="New key">
            <KeyForm path={path} services={members.data?.data.filter(({ isService }) => isService)} />
          </Section>
        )}
        <KeyList title="Keys" path={path} mayWrite={mayWrite} />
      </Stack>
    </>
  );
}

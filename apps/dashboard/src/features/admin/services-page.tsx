import { Stack } from '@mantine/core';
import { type Service } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { Facts } from '../../components/facts';
import { PageHeader } from '../../components/page-header';
import { Section } from '../../components/section';
import { QueryState } from '../../components/states';
import { TagBadge } from '../../components/tag-badge';
import { Ago } from '../../components/time';
import { apiQuery } from '../../lib/query';

const names: Record<Service['service'], string> = {
  database: 'Database',
  queue: 'Queue',
  store: 'Object store',
  server: 'Server that generates answers',
};

/** What the installation stands on, and whether it answers. */
export function ServicesPage() {
  const services = useQuery({
    ...apiQuery<{ at: string; data: Service[] }>('/api/v1/platform/services'),
    refetchInterval: 5000,
  });
  return (
    <>
      <PageHeader
        title="Services"
        description={
          services.data === undefined ? (
            'What the installation stands on.'
          ) : (
            <>
              What the installation stands on, looked at <Ago time={services.data.at} />.
            </>
          )
        }
      />
      <QueryState query={services}>
        {({ data }) => (
          <Stack gap="md">
            {data.map((service) => (
              <Section
                key={`${service.service} ${service.address}`}
                title={names[service.service]}
                aside={<TagBadge color={service.state === 'ok' ? 'green' : 'red'}>{service.state}</TagBadge>}
              >
                <Facts
                  rows={[
                    { name: 'What', value: [service.type, service.version].filter(Boolean).join(' ') },
                    { name: 'Where', value: <code>{service.address}</code> },
                    { name: 'Answers within', value: `${service.latencyMs} ms` },
                    {
                      name: service.state === 'ok' ? 'Says' : 'What is wrong',
                      value: service.detail ?? '–',
                    },
                  ]}
                />
              </Section>
            ))}
          </Stack>
        )}
      </QueryState>
    </>
  );
}

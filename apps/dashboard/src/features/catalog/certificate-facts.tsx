import { Group, Stack, Text } from '@mantine/core';
import { type Certificate, type CombinationCertificate, type RowsFrom } from '@lowrank/contracts';
import { Facts } from '../../components/facts';
import { TagBadge } from '../../components/tag-badge';
import { Ago } from '../../components/time';
import { formatCount, formatNumber } from '../../lib/format';

const formatShare = (share: number): string => `${(100 * share).toFixed(2)}%`;

const rowsOf: Record<RowsFrom, string> = {
  'held-out': 'held out',
  validation: 'of validation',
  training: 'of training, as none were held out',
};

/** How far something answers as it should: an export as its adapter, a combination as what it is made of. */
export function CertificateFacts({
  certificate,
  at,
}: {
  certificate: Certificate | CombinationCertificate;
  at: string;
}) {
  const { klMean, klMax, agreement, rows, rowsFrom, tokens, passed, thresholds } = certificate;
  const sum = 'sum' in certificate ? certificate.sum : null;
  return (
    <Stack gap={6} mt="sm">
      <Group gap="xs">
        <TagBadge color={passed ? 'green' : 'red'}>{passed ? 'certified' : 'not certified'}</TagBadge>
        <Text size="xs" c="dimmed">
          made <Ago time={at} />, compared on {formatCount(rows)} rows
          {rowsFrom === undefined ? '' : ` ${rowsOf[rowsFrom]}`}, {formatCount(tokens)} tokens
        </Text>
      </Group>
      <Facts
        rows={[
          {
            name: 'Equal likeliest tokens',
            value: `${formatShare(agreement)} (at least ${(100 * thresholds.agreement).toFixed(1)}%)`,
          },
          {
            name: 'Mean divergence',
            value: `${formatNumber(klMean, 3)} nats (at most ${formatNumber(thresholds.klMean)})`,
          },
          { name: 'Largest divergence', value: `${formatNumber(klMax, 3)} nats` },
          ...(sum === null
            ? []
            : [
                {
                  name: 'From the plain weighted sum',
                  value: `${formatShare(sum.agreement)} equal, ${formatNumber(sum.klMean, 3)} nats`,
                },
              ]),
        ]}
      />
    </Stack>
  );
}

import './table.css';
import { Alert, Badge, Code, Group, List, Stack, Text } from '@mantine/core';
import { type DeviceEstimate, type Estimate, type Servability } from '@lowrank/contracts';
import { formatBytes, formatCompact, formatCount, formatDuration, formatPercent } from '../lib/format';
import { Icon } from './icon';

const servers: [keyof Servability, string][] = [
  ['peft', 'PEFT'],
  ['vllm', 'vLLM'],
  ['lorax', 'LoRAX'],
  ['llamaCpp', 'llama.cpp'],
];
const bases = {
  'base-model': 'on this base model',
  'similar-models': 'on models of a similar size',
  'other-models': 'on other models',
} as const;

/** How long a job would take there, and what that is told from. */
function timeText({ seconds, basis, measuredJobs }: DeviceEstimate): string {
  if (seconds === null || basis === null)
    return 'How long it takes is not known: no job has finished there yet.';
  const source =
    basis === 'device'
      ? 'what its workers have measured with a small model'
      : `${measuredJobs === 1 ? 'one finished job' : `${measuredJobs} finished jobs`} ${bases[basis]}`;
  return `About ${formatDuration(seconds)}, told from ${source}.`;
}

/** What a job takes, where it fits, and what can load its adapter. */
export function EstimateView({ estimate }: { estimate: Estimate }) {
  const { data, memory, devices, servability, proposals, warnings } = estimate;
  const facts: [string, string][] = [
    ...(data === null
      ? []
      : ([
          ['Steps', `${formatCount(data.steps)} (${formatCount(data.stepsPerEpoch)} an epoch)`],
          ['Tokens', `${formatCompact(data.tokens)}, ${formatCompact(data.lossTokens)} of them learnt`],
          ['Rows', `${formatCount(data.rows)} to train on, ${formatCount(data.heldOutRows)} held out`],
          ['Packing', `${formatCount(data.packedRows)} rows of tokens, ${formatPercent(data.fill)} full`],
          ...(data.truncatedRows > 0
            ? [['Cut', `${formatCount(data.truncatedRows)} rows are too long`]]
            : []),
          ...(data.droppedRows > 0 ? [['Left out', `${formatCount(data.droppedRows)} rows`]] : []),
        ] as [string, string][])),
    ...(memory === null ? [] : ([['Peak memory', formatBytes(memory.bytes)]] as [string, string][])),
  ];
  return (
    <Stack gap="sm">
      <table className="table plain" aria-label="Figures">
        <tbody>
          {facts.map(([name, value]) => (
            <tr key={name}>
              <th scope="row" style={{ width: 120 }}>
                {name}
              </th>
              <td className="numbers">{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {warnings.length > 0 && (
        <Alert color="yellow" icon={<Icon name="alert" />} title="Worth knowing">
          <List size="sm">
            {warnings.map((warning) => (
              <List.Item key={warning}>{warning}</List.Item>
            ))}
          </List>
        </Alert>
      )}
      <Text size="sm" fw={600}>
        Where it fits
      </Text>
      {devices.length === 0 && (
        <Text size="sm" c="dimmed">
          No worker is there: it would wait until one comes.
        </Text>
      )}
      {devices.map((device) => (
        <Group key={device.deviceClass} gap="xs" align="flex-start" wrap="nowrap">
          <YesNo isYes={device.fits} />
          <Text size="sm">
            <b>{device.deviceClass}</b>, {device.workers === 1 ? 'one worker' : `${device.workers} workers`}
            {device.memoryBytes > 0 && ` with ${formatBytes(device.memoryBytes)}`}
            {'. '}
            {device.fits ? timeText(device) : device.reason}
          </Text>
        </Group>
      ))}
      {proposals.length > 0 && (
        <>
          <Text size="sm" fw={600}>
            What would make it fit
          </Text>
          <List size="sm">
            {proposals.map(({ changes, bytes }, i) => (
              <List.Item key={i}>
                {Object.entries(changes).map(([path, value]) => (
                  <Code key={path} mr={4}>{`${path} = ${value}`}</Code>
                ))}
                {formatBytes(bytes)}
              </List.Item>
            ))}
          </List>
        </>
      )}
      <Text size="sm" fw={600}>
        What can load the adapter
      </Text>
      {servers.map(([server, name]) => {
        const { servable, reason } = servability[server];
        return (
          <Group key={server} gap="xs" align="flex-start" wrap="nowrap">
            <YesNo isYes={servable} />
            <Text size="sm">
              <b>{name}</b>
              {reason !== null && `: ${reason}`}
            </Text>
          </Group>
        );
      })}
    </Stack>
  );
}

function YesNo({ isYes }: { isYes: boolean }) {
  const color = isYes ? 'green' : 'red';
  return (
    <Badge
      variant="light"
      color={color}
      tt="none"
      w={44}
      style={{
        flex: 'none',
        color: 'var(--mantine-color-text)',
      }}
    >
      {isYes ? 'yes' : 'no'}
    </Badge>
  );
}

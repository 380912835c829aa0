import { type DeviceEstimate, type Estimate, type Servability, type TimeBasis } from '@lowrank/contracts';
import { formatBytes, formatSeconds } from './terminal';

const count = (n: number): string => n.toLocaleString('en');
const plural = (n: number, one: string): string => `${count(n)} ${one}${n === 1 ? '' : 's'}`;

const basisText = {
  'base-model': 'on this base model',
  'similar-models': 'on models of a similar size',
  'other-models': 'on other models',
} as const;
const basisOf = (basis: TimeBasis, jobs: number): string =>
  basis === 'device' ? 'from what its workers measured' : `from ${plural(jobs, 'job')} ${basisText[basis]}`;

const time = ({ seconds, basis, measuredJobs, tokensPerSecond }: DeviceEstimate): string =>
  seconds === null || basis === null || tokensPerSecond === null
    ? 'unknown: nothing has been measured there yet'
    : `${formatSeconds(seconds)}, ${count(Math.round(tokensPerSecond))} tokens/s (${basisOf(basis, measuredJobs)})`;

/** The devices as rows of a table with deviceHead. */
export const deviceHead = ['DEVICE', 'WORKERS', 'MEMORY', 'FITS', 'TIME'];
export const deviceRows = (devices: readonly DeviceEstimate[]): string[][] =>
  devices.map((device) => [
    device.deviceClass,
    count(device.workers),
    device.memoryBytes === 0 ? '–' : formatBytes(device.memoryBytes),
    device.fits ? 'yes' : 'no',
    device.fits ? time(device) : (device.reason ?? ''),
  ]);

const servers: [keyof Servability, string][] = [
  ['peft', 'PEFT'],
  ['vllm', 'vLLM'],
  ['lorax', 'LoRAX'],
  ['llamaCpp', 'llama.cpp'],
];
/** The servers as rows of a table with serverHead. */
export const serverHead = ['SERVER', 'LOADS', 'NOTE'];
export const serverRows = (servability: Servability): string[][] =>
  servers.map(([server, name]) => {
    const { servable, reason } = servability[server];
    return [name, servable ? 'yes' : 'no', reason ?? ''];
  });

/** The largest parts of a peak. */
function partsText(parts: Record<string, number>): string {
  const largest = Object.entries(parts).sort(([, a], [, b]) => b - a);
  return largest
    .slice(0, 4)
    .map(([name, bytes]) => `${name} ${formatBytes(bytes)}`)
    .join(', ');
}

/** What the data become and what they take, by line: a name, and what there is to say. */
export function figures({ data, memory }: Estimate): [string, string][] {
  const lines: [string, string][] = [];
  if (data !== null) {
    lines.push(
      ['rows', `${plural(data.rows, 'row')} to train on, ${count(data.heldOutRows)} held out`],
      [
        'packing',
        `${plural(data.sequences, 'sequence')} in ${plural(data.packedRows, 'row')}, ${Math.round(100 * data.fill)} % full`,
      ],
      [
        'lengths',
        data.lengths.map(({ upTo, sequences }) => `${count(sequences)} up to ${count(upTo)}`).join(', '),
      ],
      ['steps', `${count(data.steps)}, ${count(data.stepsPerEpoch)} an epoch`],
      [
        'tokens',
        `${count(data.tokens)}, ${count(data.tokensPerEpoch)} an epoch; ${count(data.lossTokens)} of them learnt`,
      ],
    );
  }
  if (memory !== null)
    lines.push(['memory', `${formatBytes(memory.bytes)} at its peak: ${partsText(memory.parts)}, …`]);
  return lines;
}

/** What a job will take, in one sentence; null: nothing is known. */
export function summary({ data, memory, devices }: Estimate): string | null {
  if (data === null) return null;
  const known = devices.filter(({ fits, seconds }) => fits && seconds !== null);
  const times = known.map(({ seconds, deviceClass }) => `${formatSeconds(seconds ?? 0)} on ${deviceClass}`);
  return [
    `${plural(data.steps, 'step')} on ${plural(data.tokens, 'token')}`,
    ...(memory === null ? [] : [`${formatBytes(memory.bytes)} of memory`]),
    ...(times.length === 0 ? [] : [`about ${times.join(' or ')}`]),
  ].join(', ');
}

/** Changes that would make the job fit, a line each. */
export const proposalLines = ({ proposals }: Estimate): string[] =>
  proposals.map(({ changes, bytes }) => {
    const settings = Object.entries(changes).map(([path, value]) => `${path} ${value}`);
    return `${settings.join(', ')}: ${formatBytes(bytes)}`;
  });

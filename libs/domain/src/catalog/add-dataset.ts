import { type Dataset, datasetNameOf } from '@lowrank/contracts';
import { after } from '../clock-and-ids';
import { type Ports } from '../ports';

/** What a check found out, once the file is in the object store. */
export type DatasetFacts = Omit<Dataset, 'id' | 'name' | 'version' | 'createdAt' | 'expiresAt'> & {
  /** Default: the file's, as datasetNameOf has it. */
  name?: string;
};

/**
 * Makes a checked file the next version of its name, or finds the version that has this content already: its tokens are then as counted
 * now, and it stays for as long as either upload asks. Deleted by itself after so many seconds, null: never.
 */
export async function addDataset(
  { unitOfWork, clock, ids }: Ports,
  teamId: string,
  given: DatasetFacts,
  expiresAfter: number | null = null,
): Promise<Dataset> {
  const facts = { ...given, name: given.name ?? datasetNameOf(given.filename) };
  const createdAt = clock.now();
  const expiresAt = expiresAfter === null ? null : after(createdAt, expiresAfter * 1000);
  const id = ids.make('dataset');
  return unitOfWork.run(async ({ datasets, audit }) => {
    const last = await datasets.lockName(teamId, facts.name);
    const there = await datasets.findContent(teamId, facts);
    const dataset: Dataset =
      there === null
        ? { id, ...facts, version: last + 1, createdAt, expiresAt }
        : again(there, facts, expiresAt);
    if (there === null) await datasets.insert(teamId, dataset);
    else await datasets.change(teamId, there.id, dataset);
    const { sha256, rows, version } = dataset;
    const details = { sha256, rows, version: `${facts.name}@v${version}` };
    await audit.add('upload', { kind: 'dataset', id: dataset.id, name: facts.filename }, details);
    return dataset;
  });
}

function again(
  there: Dataset,
  { tokens, lossTokens, tokensOf }: DatasetFacts,
  expiresAt: string | null,
): Dataset {
  const longer =
    there.expiresAt === null || expiresAt === null ? null : [there.expiresAt, expiresAt].sort()[1];
  const counted = tokensOf === null ? {} : { tokens, lossTokens, tokensOf };
  return { ...there, ...counted, expiresAt: longer ?? null };
}

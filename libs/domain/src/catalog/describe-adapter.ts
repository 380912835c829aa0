import { type Adapter, type AdapterCard, type DescribeAdapter } from '@lowrank/contracts';
import { found } from '../not-found';
import { type Ports } from '../ports';
import { generateCard } from './card';

/** Changes what people say of an adapter: description, tags, card. Error: not_found. */
export function describeAdapter(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  teamId: string,
  name: string,
  changes: DescribeAdapter,
): Promise<Adapter> {
  const at = clock.now();
  return unitOfWork.run(async ({ adapters, audit }) => {
    found(await adapters.lock(teamId, name), 'adapter', name);
    await adapters.describe(teamId, name, { ...changes, at });
    await audit.add('describe', { kind: 'adapter', name }, { fields: Object.keys(changes) });
    return found(await adapters.find(teamId, name), 'adapter', name);
  });
}

/** An adapter's card: what somebody wrote, or else one made from its versions as they are now. Error: not_found. */
export function readCard(
  { unitOfWork }: Pick<Ports, 'unitOfWork'>,
  teamId: string,
  name: string,
): Promise<AdapterCard> {
  return unitOfWork.read(async ({ adapters, baseModels, teams }) => {
    const adapter = found(await adapters.find(teamId, name), 'adapter', name);
    const text = await adapters.card(teamId, name);
    if (text !== null) return { text, isGenerated: false };
    const [team, baseModel] = [await teams.find(teamId), await baseModels.find(teamId, adapter.baseModel)];
    const source = baseModel?.source ?? adapter.baseModel;
    const versions = await adapters.versions(teamId, name);
    return {
      text: generateCard({ adapter, team: found(team, 'team', teamId).name, source, versions }),
      isGenerated: true,
    };
  });
}

import { team, World } from '../test/world';
import { moveAlias } from './aliases';
import { describeAdapter, readCard } from './describe-adapter';

const actor = 'key_aaaaaaaaaaaaaaaaaaaaaaaa';

it('makes a card from versions, metrics and lineage, until somebody writes one', async () => {
  const world = new World();
  await world.publish();
  await world.publish();
  await moveAlias(world, team, { adapter: 'captain', alias: 'prod', actor }, { version: 'v1' });
  await describeAdapter(world, team, 'captain', { description: 'Answers as a captain.', tags: ['sea'] });
  const { text, isGenerated } = await readCard(world, team, 'captain');
  expect(isGenerated).toBe(true);
  const [, newest] = world.unitOfWork.tables.versions;
  for (const part of [
    '# captain\n\nAnswers as a captain.\n\n`sea`',
    '| v2 |  | sft |',
    '| v1 | `prod` | sft |',
    'PeftModel.from_pretrained(model, "crew/captain")',
    `SHA-256 \`${newest?.dataset?.sha256}\``,
    `revision \`${newest?.baseModel.revision}\``,
    `\`${newest?.jobId}\``,
    `commit | \`${newest?.revision}\``,
  ])
    expect(text).toContain(part);
  await describeAdapter(world, team, 'captain', { card: '# Mine' });
  expect(await readCard(world, team, 'captain')).toEqual({ text: '# Mine', isGenerated: false });
  await describeAdapter(world, team, 'captain', { card: null });
  expect(await readCard(world, team, 'captain')).toEqual({ text, isGenerated: true });
});

it('says that nothing has been published', async () => {
  const world = new World();
  await world.submit();
  expect((await readCard(world, team, 'captain')).text).toBe(
    '# captain\n\nA LoRA adapter for `tiny`.\n\nNo version has been published yet.\n',
  );
  await expect(readCard(world, team, 'none')).rejects.toMatchObject({ code: 'not_found' });
  await expect(describeAdapter(world, team, 'none', {})).rejects.toMatchObject({ code: 'not_found' });
});

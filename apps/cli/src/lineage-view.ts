import { type Lineage, type LineageNode } from '@lowrank/contracts';

type VersionNode = Extract<LineageNode, { type: 'version' }>;

/** What led to what among the versions of a lineage, a row each: from, how, to. Empty where a version stands alone. */
export function lineageRows({ of, nodes, edges }: Lineage): string[][] {
  const versions = new Map(
    nodes.filter((node): node is VersionNode => node.type === 'version').map((node) => [node.id, node]),
  );
  const nameOf = (id: string): string => {
    const node = versions.get(id);
    if (node === undefined) return id;
    const name = `${node.adapter}@v${node.number}`;
    if (node.isGone) return `${name} (deleted)`;
    return id === of ? `${name} *` : name;
  };
  return edges
    .filter(({ from }) => versions.has(from))
    .map(({ from, to, kind }) => [nameOf(from), kind, nameOf(to)]);
}

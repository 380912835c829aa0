import { type Lineage, type LineageNode } from '@lowrank/contracts';

export interface Placed {
  node: LineageNode;
  /** Of the upper left corner, pixels. */
  x: number;
  y: number;
}
export interface Layout {
  placed: Placed[];
  width: number;
  height: number;
}

export const nodeSize = { width: 176, height: 44 };
const gap = { x: 64, y: 18 };

/**
 * Nodes in columns from left to right, so that every edge goes to the right: a version stands beyond the versions that it was made from, and
 * what else was used (base model, dataset, job) in the column before the first version that used it, below the rows of the versions, so that
 * no box stands between two versions. Within a column nodes stand near what they are joined to in the columns before (one barycentric sweep of
 * Sugiyama, Tagawa & Toda 1981).
 */
export function layoutOf({ nodes, edges }: Pick<Lineage, 'nodes' | 'edges'>): Layout {
  const isVersion = new Set(nodes.filter(({ type }) => type === 'version').map(({ id }) => id));
  const columns = new Map<string, number>();
  const columnOf = (id: string, path: string[] = []): number => {
    const known = columns.get(id);
    if (known !== undefined || path.includes(id)) return known ?? 1;
    const parents = edges.filter(({ from, to }) => to === id && isVersion.has(from));
    const column = Math.max(1, ...parents.map(({ from }) => columnOf(from, [...path, id]) + 2));
    columns.set(id, column);
    return column;
  };
  for (const id of isVersion) columnOf(id);
  for (const { id } of nodes) {
    if (isVersion.has(id)) continue;
    const users = edges.filter(({ from }) => from === id).map(({ to }) => columnOf(to));
    columns.set(id, Math.max(0, Math.min(...users) - 1));
  }
  const used = [...new Set(columns.values())].sort((a, b) => a - b);
  const versionRows = Math.max(
    ...used.map((column) => [...isVersion].filter((id) => columns.get(id) === column).length),
  );
  const rowOf = new Map<string, number>();
  const placed: Placed[] = [];
  used.forEach((column, place) => {
    const inColumn = nodes.filter(({ id }) => columns.get(id) === column);
    const middle = (id: string): number => {
      const rows = edges
        .filter(({ from, to }) => from === id || to === id)
        .flatMap(({ from, to }) => rowOf.get(from === id ? to : from) ?? []);
      return rows.length === 0 ? rowOf.size : rows.reduce((sum, row) => sum + row, 0) / rows.length;
    };
    const ordered = inColumn
      .map((node) => ({ node, middle: middle(node.id) }))
      .sort((a, b) => a.middle - b.middle);
    ordered.forEach(({ node }, index) => {
      const row = index + (isVersion.has(node.id) ? 0 : versionRows);
      rowOf.set(node.id, row);
      placed.push({
        node,
        x: place * (nodeSize.width + gap.x),
        y: row * (nodeSize.height + gap.y),
      });
    });
  });
  return {
    placed,
    width: Math.max(0, ...placed.map(({ x }) => x + nodeSize.width)),
    height: Math.max(0, ...placed.map(({ y }) => y + nodeSize.height)),
  };
}

/** What a node is called. */
export function labelOf(node: LineageNode): { kind: string; name: string } {
  switch (node.type) {
    case 'version':
      return { kind: node.isGone ? 'deleted version' : 'version', name: `${node.adapter} v${node.number}` };
    case 'dataset':
      return node.name === null
        ? { kind: 'deleted dataset', name: node.id }
        : { kind: 'dataset', name: `${node.name} v${node.version}` };
    case 'baseModel':
      return { kind: 'base model', name: node.name };
    case 'job':
      return { kind: 'job', name: node.id };
  }
}

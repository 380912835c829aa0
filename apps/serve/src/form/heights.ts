import { type Node } from './node';

/** Heights of nodes, the least that fulfils all definitions: those of what has no end stay infinite. */
export function measure(nodes: readonly Node[]): void {
  for (let changed = true; changed;) {
    changed = false;
    for (const node of nodes) {
      const height = heightOf(node);
      if (height < node.height) {
        node.height = height;
        changed = true;
      }
    }
  }
}

function heightOf(node: Node): number {
  switch (node.kind) {
    case 'array': {
      const needed = node.prefix.slice(0, node.min);
      if (node.min > node.prefix.length) needed.push(node.items);
      return 1 + Math.max(0, ...needed.map(({ height }) => height));
    }
    case 'object': {
      const [required, optional] = [true, false].map((is) =>
        node.properties.filter((property) => property.required === is).map(({ value }) => value.height),
      ) as [number[], number[]];
      const other = Math.min(Infinity, ...node.others.map(({ value }) => value.height));
      const more = [...optional, other]
        .sort((a, b) => a - b)
        .slice(0, Math.max(0, node.min - required.length));
      return 1 + Math.max(0, ...required, ...more);
    }
    case 'union':
      return Math.min(...node.options.map(({ height }) => height));
    case 'link':
      return node.to?.height ?? Infinity;
    default:
      return 1;
  }
}

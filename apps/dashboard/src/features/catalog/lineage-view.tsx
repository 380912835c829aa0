import './lineage.css';
import { Alert } from '@mantine/core';
import { type Lineage, type LineageNode } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode } from 'react';
import { DataTable } from '../../components/data-table';
import { Section } from '../../components/section';
import { LoadingState, QueryState } from '../../components/states';
import { apiQuery } from '../../lib/query';
import { type AdapterProps } from './adapter-page';
import { labelOf, layoutOf, nodeSize, type Placed } from './lineage-layout';

const edgeNames: Record<Lineage['edges'][number]['kind'], string> = {
  base: 'base model of',
  data: 'trained',
  job: 'made',
  continued: 'was trained on as',
  combined: 'was combined into',
};

/** Where a version comes from and what was made from it: drawn, and as a list that says the same. */
export default function LineageView({ version, path, owner }: AdapterProps) {
  const lineage = useQuery(apiQuery<Lineage>(`${path}/versions/v${version.number}/lineage`, owner));
  return (
    <QueryState query={lineage} loading={<LoadingState rows={5} />}>
      {(seen) => (
        <>
          {seen.isTruncated && (
            <Alert color="yellow" title="There is more than is shown">
              What is nearest to this version is here. Open another version to see what is around it.
            </Alert>
          )}
          <Section title={`Lineage of v${version.number}`}>
            <Graph lineage={seen} />
          </Section>
          <Section title="As a list">
            <EdgeList lineage={seen} />
          </Section>
        </>
      )}
    </QueryState>
  );
}

interface NodeLinkProps {
  node: LineageNode;
  className: string;
  children: ReactNode;
}

/** Leads to where a node can be looked at; one that cannot be is only named. */
function NodeLink({ node, className, children }: NodeLinkProps) {
  if (node.type === 'version' && !node.isGone)
    return (
      <Link
        to="/catalog/$name"
        params={{ name: node.adapter }}
        search={{ view: 'lineage', version: `v${node.number}` }}
        className={className}
      >
        {children}
      </Link>
    );
  if (node.type === 'dataset' && node.name !== null)
    return (
      <Link to="/datasets/$id" params={{ id: node.id }} className={className}>
        {children}
      </Link>
    );
  if (node.type === 'job')
    return (
      <Link to="/jobs/$id" params={{ id: node.id }} className={className}>
        {children}
      </Link>
    );
  return children;
}

const shown = (name: string): string => (name.length > 19 ? `${name.slice(0, 18)}…` : name);

function Graph({ lineage }: { lineage: Lineage }) {
  const { placed, width, height } = layoutOf(lineage);
  const at = new Map(placed.map((one) => [one.node.id, one]));
  const margin = 4;
  return (
    <div className="scroll-x" tabIndex={0} role="region" aria-label="Graph of the lineage">
      <svg
        width={width + 2 * margin}
        height={height + 2 * margin}
        viewBox={`${-margin} ${-margin} ${width + 2 * margin} ${height + 2 * margin}`}
        role="group"
        aria-label="What versions were made from, left to right"
        style={{ display: 'block', margin: '0 auto' }}
      >
        {lineage.edges.map(({ from, to, kind }) => {
          const [start, end] = [at.get(from), at.get(to)];
          return (
            start &&
            end && (
              <path key={`${from} ${to} ${kind}`} d={curve(start, end)} className={`lineage-edge ${kind}`} />
            )
          );
        })}
        {placed.map(({ node, x, y }) => (
          <NodeLink key={node.id} node={node} className="lineage-link">
            <Box node={node} x={x} y={y} isShown={node.id === lineage.of} />
          </NodeLink>
        ))}
      </svg>
    </div>
  );
}

function Box({ node, x, y, isShown }: Placed & { isShown: boolean }) {
  const { kind, name } = labelOf(node);
  return (
    <g className={`lineage-node ${node.type}${isShown ? ' is-shown' : ''}`}>
      {shown(name) !== name && <title>{name}</title>}
      <rect x={x} y={y} width={nodeSize.width} height={nodeSize.height} rx={8} />
      <text x={x + 10} y={y + 17} className="lineage-kind">
        {kind}
      </text>
      <text x={x + 10} y={y + 34}>
        {shown(name)}
      </text>
    </g>
  );
}

/** From the right side of one box to the left side of another. */
function curve(from: Placed, to: Placed): string {
  const [x1, y1] = [from.x + nodeSize.width, from.y + nodeSize.height / 2];
  const [x2, y2] = [to.x, to.y + nodeSize.height / 2];
  const bend = Math.max(24, (x2 - x1) / 2);
  return `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}

function EdgeList({ lineage }: { lineage: Lineage }) {
  const nodes = new Map(lineage.nodes.map((node) => [node.id, node]));
  const named = (id: string) => {
    const node = nodes.get(id);
    if (node === undefined) return id;
    const { kind, name } = labelOf(node);
    return (
      <NodeLink node={node} className="row-link">
        <span className="wrap-anywhere">{kind === 'version' ? name : `${kind} ${name}`}</span>
      </NodeLink>
    );
  };
  return (
    <DataTable
      label="Lineage"
      rows={lineage.edges}
      rowKey={({ from, to, kind }) => `${from} ${to} ${kind}`}
      columns={[
        { key: 'from', header: 'What', cell: ({ from }) => named(from) },
        { key: 'kind', header: 'How', cell: ({ kind }) => edgeNames[kind] },
        { key: 'to', header: 'Which', cell: ({ to }) => named(to) },
      ]}
    />
  );
}

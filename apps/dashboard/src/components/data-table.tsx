import './table.css';
import { Button, Center } from '@mantine/core';
import { type ReactNode } from 'react';

export interface Column<T> {
  key: string;
  header: ReactNode;
  cell: (row: T) => ReactNode;
  /** Numbers stand on the right. */
  align?: 'left' | 'right';
  /** Least width in pixels. */
  width?: number;
  /** Left out below this width of the window. */
  from?: 'xs' | 'sm' | 'md' | 'lg';
}

interface DataTableProps<T> {
  /** What the table is of, for screen readers. */
  label: string;
  columns: Column<T>[];
  rows: readonly T[];
  rowKey: (row: T) => string;
  /** More rows can be had. */
  more?: { hasMore: boolean; isLoading: boolean; load: () => void };
}

const classOf = <T,>({ align, from }: Column<T>) =>
  [align === 'right' && 'numbers right', from !== undefined && `mantine-visible-from-${from}`]
    .filter(Boolean)
    .join(' ');

/** Rows and columns; on a narrow screen it scrolls by itself, and the page does not. */
export function DataTable<T>({ label, columns, rows, rowKey, more }: DataTableProps<T>) {
  return (
    <>
      <div className="scroll-x" tabIndex={0} role="region" aria-label={label}>
        <table className="table lit" aria-label={label}>
          <thead>
            <tr>
              {columns.map((column) => (
                <th
                  key={column.key}
                  className={classOf(column)}
                  style={{ minWidth: column.width, whiteSpace: 'nowrap' }}
                >
                  {column.header}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={rowKey(row)}>
                {columns.map((column) => (
                  <td key={column.key} className={classOf(column)}>
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {more?.hasMore && (
        <Center mt="sm">
          <Button variant="default" size="xs" loading={more.isLoading} onClick={more.load}>
            Show more
          </Button>
        </Center>
      )}
    </>
  );
}

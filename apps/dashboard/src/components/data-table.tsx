import { Button, Center, Table } from '@mantine/core';
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

/** Rows and columns; on a narrow screen it scrolls by itself, and the page does not. */
export function DataTable<T>({ label, columns, rows, rowKey, more }: DataTableProps<T>) {
  return (
    <>
      <div className="scroll-x" tabIndex={0} role="region" aria-label={label}>
        <Table highlightOnHover verticalSpacing="xs" aria-label={label}>
          <Table.Thead>
            <Table.Tr>
              {columns.map(({ key, header, align, width, from }) => (
                <Table.Th
                  key={key}
                  ta={align}
                  miw={width}
                  visibleFrom={from}
                  style={{ whiteSpace: 'nowrap' }}
                >
                  {header}
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((row) => (
              <Table.Tr key={rowKey(row)}>
                {columns.map(({ key, cell, align, from }) => (
                  <Table.Td
                    key={key}
                    ta={align}
                    visibleFrom={from}
                    className={align === 'right' ? 'numbers' : undefined}
                  >
                    {cell(row)}
                  </Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
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

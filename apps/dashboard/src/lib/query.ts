import { infiniteQueryOptions, QueryClient, queryOptions, useQuery } from '@tanstack/react-query';
import { useEffect } from 'react';
import { api, ApiError, type Parameters } from './api';

/** A page of a list, as the API sends it: newest first. */
export interface Page<T> {
  data: T[];
  hasMore: boolean;
}

/** One client for the whole page. What was refused is not asked again; what failed on the way is, twice. */
export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (failures, error) =>
        failures < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
    },
  },
});

/** A GET as a query, kept under its path and parameters: `useQuery(apiQuery<Page<Job>>('/api/v1/jobs', { state }))`. */
export const apiQuery = <T>(path: string, parameters: Parameters = {}) =>
  queryOptions({
    queryKey: [path, parameters] as const,
    queryFn: ({ signal }) => api.get<T>(path, parameters, signal),
  });

/** A GET of what grows while a run goes on: asked again and again until it is over, and once more then, for what came last. */
export function useGrowing<T>(path: string, isOver: boolean) {
  const query = useQuery({ ...apiQuery<T>(path), refetchInterval: isOver ? false : 3000 });
  const { refetch } = query;
  useEffect(() => {
    if (isOver) void refetch();
  }, [isOver, refetch]);
  return query;
}

/** A list as an infinite query, whose pages go on after the last id of the page before. */
export const apiPages = <T extends { id: string }>(path: string, parameters: Parameters = {}) =>
  infiniteQueryOptions({
    queryKey: [path, parameters, 'pages'] as const,
    queryFn: ({ signal, pageParam }) => api.get<Page<T>>(path, { ...parameters, after: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ data, hasMore }: Page<T>) => (hasMore ? data.at(-1)?.id : undefined),
  });

/** Has everything that was read from a path, or from below it, be read again: after a change. */
export const invalidate = (...paths: string[]): Promise<void> =>
  queryClient.invalidateQueries({
    predicate: ({ queryKey: [path] }) =>
      typeof path === 'string' && paths.some((changed) => path === changed || path.startsWith(`${changed}/`)),
  });

import { type Action, type Principal, type Session } from '@lowrank/contracts';
import { queryOptions, useSuspenseQuery } from '@tanstack/react-query';
import { may } from './access';
import { api } from './api';
import { queryClient } from './query';

export interface SignedIn {
  session: Session;
  /** What requests are allowed to do. */
  principal: Principal;
}

/** Who has signed in; throws ApiError `unauthorized` when nobody has. */
export const sessionQuery = queryOptions({
  queryKey: ['session'] as const,
  queryFn: async (): Promise<SignedIn> => {
    const [session, principal] = await Promise.all([
      api.get<Session>('/api/v1/session'),
      api.get<Principal>('/api/v1/me'),
    ]);
    return { session, principal };
  },
  staleTime: 60_000,
});

/** Who has signed in, on pages within the shell, which has made sure that somebody has. */
export const useSession = (): SignedIn => useSuspenseQuery(sessionQuery).data;

/** Whether whoever has signed in may do something: what they may not do is left out of pages, or disabled with the reason. */
export function useMay(): (action: Action) => boolean {
  const { principal } = useSession();
  return (action) => may(principal, action);
}

/** Begins a session by address and password or by an API key. Throws ApiError. */
export async function signIn(
  credentials: { email: string; password: string } | { key: string },
): Promise<void> {
  const path = 'key' in credentials ? '/api/v1/session/key' : '/api/v1/session';
  await api.post<Session>(path, credentials);
  // Nothing that another account has seen is shown to this one.
  queryClient.clear();
}

export async function signOut(): Promise<void> {
  await api.delete('/api/v1/session');
  queryClient.clear();
}

/** Has the session's requests be about another team; all that is shown is read again. */
export async function chooseTeam(teamId: string): Promise<void> {
  await api.put<Session>('/api/v1/session', { team: teamId });
  await queryClient.resetQueries();
}

import '@mantine/core/styles/baseline.css';
import '@mantine/core/styles/default-css-variables.css';
import '@mantine/core/styles/global.css';
import './app/app.css';
import { MantineProvider } from '@mantine/core';
import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode, Suspense } from 'react';
import { createRoot } from 'react-dom/client';
import { router } from './app/router';
import { theme } from './app/theme';
import { whenSignedOut } from './lib/api';
import { whenIdle } from './lib/idle';
import { queryClient } from './lib/query';
import { lazyPart } from './lib/lazy-part';

whenSignedOut(() => {
  const { pathname, href } = router.state.location;
  if (pathname !== '/sign-in') void router.navigate({ to: '/sign-in', search: { next: href } });
});

// The first page's code comes while it is asked who has signed in, not after.
for (const route of router.getMatchedRoutes(router.latestLocation.pathname)[0])
  void router.loadRouteChunk(route);

// Nothing is told before something was done: its code comes when the first page is there.
const Notifications = lazyPart(async () => {
  await whenIdle();
  return import('./app/notifications');
});

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <MantineProvider theme={theme} defaultColorScheme="auto">
      <QueryClientProvider client={queryClient}>
        <Suspense>
          <Notifications />
        </Suspense>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);

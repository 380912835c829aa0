import { type Action } from '@lowrank/contracts';
import { type IconName } from '../components/icon';

export interface NavigationEntry {
  to: string;
  label: string;
  icon: IconName;
  /** What one must be allowed to do for the entry to be there; absent: nothing. */
  needs?: Action;
}

/** What the navigation shows, from top to bottom, by section. A page that is found from another page needs no entry. */
export const navigation: { title: string | null; entries: NavigationEntry[] }[] = [
  {
    title: null,
    entries: [
      { to: '/', label: 'Overview', icon: 'home' },
      { to: '/jobs/new', label: 'New job', icon: 'plus', needs: 'jobs.submit' },
      { to: '/jobs', label: 'Jobs', icon: 'list' },
      { to: '/compare', label: 'Compare', icon: 'compare' },
      { to: '/datasets', label: 'Datasets', icon: 'data', needs: 'datasets.read' },
    ],
  },
  {
    title: 'Adapters',
    entries: [
      { to: '/catalog', label: 'Catalog', icon: 'box', needs: 'adapters.read' },
      { to: '/try', label: 'Try it', icon: 'chat', needs: 'completions.generate' },
    ],
  },
  {
    title: 'Team',
    entries: [
      { to: '/admin/members', label: 'Members', icon: 'users', needs: 'members.read' },
      { to: '/admin/keys', label: 'API keys', icon: 'key', needs: 'keys.read' },
      { to: '/admin/pins', label: 'Pinned', icon: 'pin', needs: 'adapters.read' },
      { to: '/admin/webhooks', label: 'Webhooks', icon: 'bell', needs: 'webhooks.read' },
      { to: '/admin/audit', label: 'Audit log', icon: 'list', needs: 'audit.read' },
    ],
  },
  {
    title: 'Installation',
    entries: [
      { to: '/admin/workers', label: 'Workers', icon: 'server', needs: 'workers.read' },
      { to: '/admin/queue', label: 'Queue', icon: 'clock', needs: 'platform.read' },
      { to: '/admin/teams', label: 'Teams', icon: 'users', needs: 'teams.read' },
      { to: '/admin/services', label: 'Services', icon: 'data', needs: 'platform.read' },
      { to: '/admin/settings', label: 'Settings', icon: 'gear', needs: 'platform.read' },
    ],
  },
];

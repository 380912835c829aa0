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
  { title: null, entries: [{ to: '/', label: 'Overview', icon: 'home' }] },
];

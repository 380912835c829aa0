import { existsSync, readFileSync } from 'node:fs';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { type Stack } from './stack';

/** Where Debian, and most others, put Chromium; CHROMIUM names another. */
export const chromiumPath = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const hasChromium = existsSync(chromiumPath);

export const screens = {
  wide: { width: 1440, height: 900 },
  narrow: { width: 360, height: 740 },
} as const;
export type Scheme = 'light' | 'dark';

const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export function launch(): Promise<Browser> {
  // Chromium's sandbox does not run as root, as which containers often do.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: chromiumPath, args: [...args, '--disable-gpu'] });
}

/** Keeps what moves by itself on a page, as web vitals count it: by how much, and what. */
const observeShifts = `
  globalThis.shifts = [];
  const nameOf = ({ node }) => {
    const element = node?.nodeType === 1 ? node : node?.parentElement;
    return element ? element.outerHTML.replace(/\\s+/g, ' ').slice(0, 90) : 'gone';
  };
  new PerformanceObserver((list) => {
    for (const { value, hadRecentInput, sources } of list.getEntries())
      if (!hadRecentInput) globalThis.shifts.push({ value, moved: sources.map(nameOf) });
  }).observe({ type: 'layout-shift', buffered: true });
`;
interface Shift {
  value: number;
  moved: string[];
}

/** A browser of somebody's own: cookies, size of the window, light or dark. What a page logs as an error is in `errors`. */
export async function visit(
  browser: Browser,
  { url }: Stack,
  { screen = 'wide', scheme = 'light' }: { screen?: keyof typeof screens; scheme?: Scheme } = {},
): Promise<{ context: BrowserContext; page: Page; errors: string[] }> {
  const context = await browser.newContext({
    baseURL: url,
    viewport: screens[screen],
    colorScheme: scheme,
    reducedMotion: 'reduce',
  });
  context.setDefaultTimeout(20_000);
  await context.addInitScript(observeShifts);
  const page = await context.newPage();
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    // That a request was refused is for the page to show.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      errors.push(message.text());
  });
  return { context, page, errors };
}

/** Signs in with an API key, as somebody would by hand. */
export async function signInWithKey(page: Page, key: string): Promise<void> {
  await page.goto('/sign-in');
  await page.getByRole('tab', { name: 'API key' }).click();
  await page.locator('input[name="key"]').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
}

/** What axe finds on a page that is serious or critical: the rule, and where. */
export async function seriousFindings(page: Page): Promise<string[]> {
  // Evaluated by the debugger, which the page's Content-Security-Policy does not bind.
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { axe: run } = globalThis as unknown as { axe: { run(): Promise<AxeResults> } };
    const { violations } = await run.run();
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) =>
        nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')} ${failureSummary}`),
      );
  });
}
interface AxeResults {
  violations: { id: string; impact: string; nodes: { target: string[]; failureSummary: string }[] }[];
}

/** By how much a page is wider than its window; 0 on one that needs no scrolling to the side. */
export const overflow = (page: Page): Promise<number> =>
  page.evaluate(
    'Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)',
  ) as Promise<number>;

/** What has moved by itself since the page was loaded, and by how much in all (Cumulative Layout Shift, without its windows). */
export async function layoutShift(page: Page): Promise<{ sum: number; moved: string[] }> {
  const shifts = (await page.evaluate('globalThis.shifts')) as Shift[];
  return {
    sum: shifts.reduce((sum, { value }) => sum + value, 0),
    moved: shifts.flatMap(({ value, moved }) => moved.map((what) => `${value.toFixed(3)} ${what}`)),
  };
}

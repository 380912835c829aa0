import { type Page } from 'playwright-core';
import {
  layoutShift,
  overflow,
  type Scheme,
  screens,
  seriousFindings,
  signInWithKey,
  visit,
} from './browser';
import { type World } from './world';

export type Screen = keyof typeof screens;
export const everyScreen = Object.keys(screens) as Screen[];

/** What counts as good among web vitals. */
const mostShift = 0.1;

/** The colours that a page is loaded in, and those that it changes to: each page is loaded in both, and seen in all four ways. */
const schemesOf: Record<Screen, [Scheme, Scheme]> = { wide: ['light', 'dark'], narrow: ['dark', 'light'] };

/** That pages have nothing serious to axe in light and dark, are no wider than the window, and do not jump while they load. */
export async function look(
  { browser, stack }: World,
  paths: string[],
  screen: Screen,
  signIn: (page: Page) => Promise<void> = (page) => signInWithKey(page, stack.key),
): Promise<void> {
  const [scheme] = schemesOf[screen];
  const { page, context, errors } = await visit(browser, stack, { screen, scheme });
  await signIn(page);
  const found: string[] = [];
  for (const path of paths) {
    await page.goto(path);
    await page.getByRole('heading', { level: 1 }).first().waitFor();
    await page.locator('[role=status][aria-label^=Loading]').first().waitFor({ state: 'detached' });
    found.push(...(await findings(page, screen)).map((finding) => `${path} ${finding}`));
  }
  expect([...found, ...errors]).toEqual([]);
  await context.close();
}

/** Waits, in the page: colours on their way from one scheme to the other are neither's. */
const transitionsEnd = `Promise.allSettled(
  document.getAnimations().filter((one) => one instanceof CSSTransition).map((one) => one.finished),
).then(() => undefined)`;

/** What is wrong with the page that is shown, on its screen; it is left in the colours that it was loaded in. */
async function findings(page: Page, screen: Screen): Promise<string[]> {
  const found: string[] = [];
  const [first, second] = schemesOf[screen];
  for (const colorScheme of [first, second]) {
    await page.emulateMedia({ colorScheme });
    await page.locator(`html[data-mantine-color-scheme=${colorScheme}]`).waitFor();
    await page.evaluate(transitionsEnd);
    found.push(...(await seriousFindings(page)).map((finding) => `in ${colorScheme}: ${finding}`));
  }
  await page.emulateMedia({ colorScheme: first });
  const wider = await overflow(page);
  if (wider > 0) found.push(`is ${wider} px wider than the window`);
  const { sum, moved } = await layoutShift(page);
  if (sum >= mostShift) found.push(`jumps by ${sum.toFixed(3)}: ${moved.join(' | ')}`);
  return found;
}

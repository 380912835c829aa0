import { type Browser } from 'playwright-core';
import { type Stack } from './stack';

/** What journeys are made in: one stack and one browser for all, since both take seconds to start. */
export interface World {
  stack: Stack;
  browser: Browser;
}

import { Accordion } from '@mantine/core';
import { type ReactNode } from 'react';
import { type Knob } from './knobs';
import { moreKnobs } from './seldom-knobs';

/** The knobs that most people leave alone, by section. */
export const MoreKnobs = ({ render }: { render: (knobs: Knob[]) => ReactNode }) => (
  <Accordion variant="contained" chevronPosition="left">
    {moreKnobs.map(({ title, knobs }) => (
      <Accordion.Item key={title} value={title}>
        <Accordion.Control>{title}</Accordion.Control>
        <Accordion.Panel>{render(knobs)}</Accordion.Panel>
      </Accordion.Item>
    ))}
  </Accordion>
);

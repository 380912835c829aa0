import { Button, type ButtonProps, Paper, type PaperProps } from '@mantine/core';
import { createLink } from '@tanstack/react-router';
import { type ComponentProps } from 'react';

type AnchorProps = Omit<ComponentProps<'a'>, keyof ButtonProps>;

/** A link that looks like a button; where it leads is checked by the types of the routes. */
export const LinkButton = createLink((props: ButtonProps & AnchorProps) => (
  <Button component="a" {...props} />
));

/** A panel that leads somewhere as a whole. */
export const LinkPaper = createLink((props: PaperProps & Omit<ComponentProps<'a'>, keyof PaperProps>) => (
  <Paper component="a" {...props} />
));

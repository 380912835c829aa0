import { InputBase, type InputBaseProps } from '@mantine/core';
import { type ComponentProps } from 'react';

/** Several lines of text; grows with them where the browser can (`field-sizing`), else it is scrolled and resized. */
export function TextArea(props: InputBaseProps & Omit<ComponentProps<'textarea'>, keyof InputBaseProps>) {
  return <InputBase component="textarea" multiline {...props} className="text-area" />;
}

import { NativeSelect, type NativeSelectProps } from '@mantine/core';

interface ChoiceProps<Value extends string> extends Omit<NativeSelectProps, 'data' | 'value' | 'onChange'> {
  data: readonly Value[] | readonly { value: Value; label: string }[];
  /** undefined: none of them. */
  value: Value | undefined;
  onChange: (value: Value | undefined) => void;
  /** What none of them is called. */
  none: string;
}

/** One of a few, or none of them, by the browser's own list. */
export function Choice<Value extends string>({ data, value, onChange, none, ...others }: ChoiceProps<Value>) {
  return (
    <NativeSelect
      size="xs"
      {...others}
      data={[{ value: '', label: none }, ...data]}
      value={value ?? ''}
      onChange={({ currentTarget }) => onChange((currentTarget.value as Value) || undefined)}
    />
  );
}

import { ActionIcon, Group, NumberInput, Popover, Select, Switch, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { Icon } from '../../components/icon';
import { TextArea } from '../../components/text-area';
import { type Knob } from './knobs';
import { linesOf, numbersOf, targetsOf } from './lists';

interface KnobInputProps {
  knob: Knob;
  value: unknown;
  /** What the server says is wrong with it. */
  error?: string;
  onChange: (value: unknown) => void;
}

/** One field of the recipe, with its help a key press away. */
export function KnobInput({ knob, value, error, onChange }: KnobInputProps) {
  const { label, kind, help } = knob;
  const title = (
    <Group gap={4} wrap="nowrap" component="span">
      {label}
    </Group>
  );
  const field =
    kind === 'switch' ? (
      <Switch
        label={title}
        checked={value === true}
        onChange={(event) => onChange(event.currentTarget.checked)}
        error={error}
      />
    ) : kind === 'choice' ? (
      <Select
        label={title}
        data={knob.choices}
        value={String(value)}
        onChange={onChange}
        allowDeselect={false}
        error={error}
      />
    ) : kind === 'targets' ? (
      <TextInput
        label={title}
        value={Array.isArray(value) ? value.join(', ') : String(value)}
        placeholder={knob.placeholder}
        onChange={({ currentTarget }) => onChange(targetsOf(currentTarget.value))}
        error={error}
      />
    ) : kind === 'numbers' || kind === 'lines' ? (
      <ListInput knob={knob} value={value} error={error} onChange={onChange} />
    ) : (
      <NumberInput
        label={title}
        value={value === null ? '' : (value as number)}
        onChange={(next) => onChange(next === '' ? (knob.isOptional ? null : value) : Number(next))}
        min={knob.min}
        max={knob.max}
        placeholder={knob.isOptional ? 'by itself' : undefined}
        hideControls
        error={error}
      />
    );
  return (
    <Group gap={6} align={kind === 'switch' ? 'center' : 'flex-end'} wrap="nowrap">
      <div style={{ flex: 1, minWidth: 0 }}>{field}</div>
      <Popover width={300} position="bottom-end" withArrow shadow="md">
        <Popover.Target>
          <ActionIcon
            variant="subtle"
            color="gray"
            c="dimmed"
            aria-label={`Help on ${label}`}
            mb={kind === 'switch' ? 0 : 4}
          >
            <Icon name="help" />
          </ActionIcon>
        </Popover.Target>
        <Popover.Dropdown>
          <Text size="sm">{help}</Text>
        </Popover.Dropdown>
      </Popover>
    </Group>
  );
}

/** A list as text, which is kept as it was typed: what it means may be spelt in more than one way. */
function ListInput({
  knob: { label, kind, isOptional, placeholder },
  value,
  error,
  onChange,
}: KnobInputProps) {
  const [text, setText] = useState(Array.isArray(value) ? value.join(kind === 'lines' ? '\n' : ', ') : '');
  const field = {
    ...{ label, error, placeholder, value: text },
    onChange: ({ currentTarget }: { currentTarget: { value: string } }) => {
      setText(currentTarget.value);
      const list = kind === 'lines' ? linesOf(currentTarget.value) : numbersOf(currentTarget.value);
      onChange(list.length === 0 && isOptional ? null : list);
    },
  };
  return kind === 'lines' ? <TextArea {...field} rows={2} /> : <TextInput {...field} />;
}

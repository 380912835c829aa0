import { ActionIcon, Group, NumberInput, Popover, Select, Switch, Text, TextInput } from '@mantine/core';
import { Icon } from '../../components/icon';
import { type Knob } from './knobs';

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
        onChange={({ currentTarget }) => onChange(targetsOf(currentTarget.value))}
        error={error}
      />
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

/** One name alone that is no layer's is a word of its own, such as all-linear. */
function targetsOf(text: string): string | string[] {
  if (!text.includes(','))
    return text.trim() === 'all-linear' || !/^\w+$/.test(text.trim()) ? text : [text.trim()];
  return text.split(',').map((name) => name.trim());
}

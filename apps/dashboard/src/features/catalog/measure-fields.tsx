import { Button, Checkbox, Group, NativeSelect, Stack, TextInput } from '@mantine/core';
import { type EvaluationMetric, evaluationMetrics } from '@lowrank/contracts';
import { Icon } from '../../components/icon';
import { TextArea } from '../../components/text-area';
import { type MeasureDraft, newDraft } from './measures';

const most = 8;

interface MeasureFieldsProps {
  drafts: MeasureDraft[];
  onChange: (drafts: MeasureDraft[]) => void;
  /** Asks also where each has to be. */
  areChecks?: boolean;
}

/** What is measured, one after the other. */
export function MeasureFields({ drafts, onChange, areChecks = false }: MeasureFieldsProps) {
  const change = (index: number, part: Partial<MeasureDraft>) =>
    onChange(drafts.map((draft, i) => (i === index ? { ...draft, ...part } : draft)));
  return (
    <Stack gap="sm">
      {drafts.map((draft, index) => (
        <Stack key={index} gap={6} role="group" aria-label={`Measure ${index + 1}`}>
          <Group align="end" gap="sm">
            <NativeSelect
              label="Measure"
              data={evaluationMetrics}
              value={draft.metric}
              onChange={({ currentTarget: { value } }) => change(index, newDraft(value as EvaluationMetric))}
            />
            {areChecks && (
              <TextInput
                type="number"
                label={draft.metric === 'loss' ? 'At most, nats' : 'At least, share of rows'}
                value={draft.threshold}
                onChange={({ currentTarget: { value } }) => change(index, { threshold: value })}
                min={0}
                max={draft.metric === 'loss' ? undefined : 1}
                step="any"
                required
                w={170}
              />
            )}
            {drafts.length > 1 && (
              <Button
                variant="subtle"
                color="gray"
                aria-label={`Leave out measure ${index + 1}`}
                onClick={() => onChange(drafts.filter((_, i) => i !== index))}
              >
                <Icon name="trash" size={15} />
              </Button>
            )}
          </Group>
          {draft.metric === 'exact-match' && (
            <Checkbox
              label="Whatever the case of letters"
              checked={draft.ignoreCase}
              onChange={({ currentTarget: { checked } }) => change(index, { ignoreCase: checked })}
            />
          )}
          {draft.metric === 'regex' && (
            <TextInput
              label="Pattern"
              description="A regular expression of JavaScript that an answer has to match."
              value={draft.pattern}
              onChange={({ currentTarget: { value } }) => change(index, { pattern: value })}
              required
            />
          )}
          {draft.metric === 'json-schema' && (
            <TextArea
              label="Schema"
              description="JSON schema of draft 2020-12 that an answer has to be valid by."
              value={draft.schema}
              onChange={({ currentTarget: { value } }) => change(index, { schema: value })}
              required
            />
          )}
        </Stack>
      ))}
      {drafts.length < most && (
        <Button
          variant="default"
          size="xs"
          style={{ alignSelf: 'start' }}
          leftSection={<Icon name="plus" size={15} />}
          onClick={() => onChange([...drafts, newDraft('exact-match')])}
        >
          Another measure
        </Button>
      )}
    </Stack>
  );
}

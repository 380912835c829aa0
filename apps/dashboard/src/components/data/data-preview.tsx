import { Alert, Button, Group, Skeleton, Stack, Text } from '@mantine/core';
import { type DatasetPreview } from '@lowrank/contracts';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { ErrorState } from '../states';
import { formatCount } from '../../lib/format';
import { apiQuery } from '../../lib/query';

/** A row of a dataset with the model's own template around it, in which what a loss is taken on is marked. */
export function DataPreview({ dataset, base }: { dataset: string; base: string }) {
  const [row, setRow] = useState(1);
  const preview = useQuery({
    ...apiQuery<DatasetPreview>(`/api/v1/files/${dataset}/preview`, { baseModel: base, row }),
    placeholderData: keepPreviousData,
    staleTime: Infinity,
  });
  if (preview.error !== null)
    return <ErrorState error={preview.error} retry={() => void preview.refetch()} />;
  const shown = preview.data?.rows[0];
  return (
    <Stack gap="xs">
      <Group justify="space-between" gap="xs">
        <Text size="sm" fw={500}>
          Row {row} as the model sees it
        </Text>
        <Group gap="xs">
          <Button size="compact-xs" variant="default" disabled={row === 1} onClick={() => setRow(row - 1)}>
            Before
          </Button>
          <Button
            size="compact-xs"
            variant="default"
            disabled={preview.data?.hasMore !== true}
            onClick={() => setRow(row + 1)}
          >
            Next
          </Button>
        </Group>
      </Group>
      {shown === undefined && <Skeleton height={120} />}
      {shown?.error && (
        <Alert color="red" title={`Line ${shown.line} cannot be trained on with this base model`}>
          {shown.error.message}
        </Alert>
      )}
      {shown?.conversations.map(({ tokens, tokenCount, lossTokens }, i) => (
        <div key={i}>
          {shown.conversations.length > 1 && (
            <Text size="xs" fw={500}>
              {i === 0 ? 'Chosen' : 'Rejected'}
            </Text>
          )}
          <pre
            className="code"
            tabIndex={0}
            role="region"
            aria-label={`Row ${row}, conversation ${i + 1}`}
            style={{ whiteSpace: 'pre-wrap', overflowWrap: 'anywhere', maxHeight: 260 }}
          >
            {runs(tokens).map(({ text, learnt }, at) =>
              learnt ? (
                <mark key={at} className="learnt">
                  {text}
                </mark>
              ) : (
                <span key={at}>{text}</span>
              ),
            )}
          </pre>
          <Text size="xs" c="dimmed">
            {formatCount(tokenCount)} tokens; the {formatCount(lossTokens)} that are marked are learnt, the
            others are context.
          </Text>
        </div>
      ))}
    </Stack>
  );
}

/** Tokens that follow each other and are alike in being learnt, as one text. */
function runs(tokens: { text: string; learnt: boolean }[]): { text: string; learnt: boolean }[] {
  const joined: { text: string; learnt: boolean }[] = [];
  for (const { text, learnt } of tokens) {
    const last = joined.at(-1);
    if (last?.learnt === learnt) last.text += text;
    else joined.push({ text, learnt });
  }
  return joined;
}

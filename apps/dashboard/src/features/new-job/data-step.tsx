import { Stack, Text } from '@mantine/core';
import { type Dataset } from '@lowrank/contracts';
import { useQuery } from '@tanstack/react-query';
import { DataPreview } from '../../components/data/data-preview';
import { DatasetSelect } from '../../components/data/dataset-select';
import { UploadBox } from '../../components/data/upload-box';
import { formatBytes, formatCompact, formatCount } from '../../lib/format';
import { apiQuery } from '../../lib/query';
import { useMay } from '../../lib/session';

interface DataStepProps {
  base: string | null;
  value: string | null;
  onChange: (dataset: string | null) => void;
  /** What the run is evaluated on; null: rows held out of its own. */
  validation: string | null;
  onValidationChange: (dataset: string | null) => void;
  error: string | undefined;
  validationError: string | undefined;
}

/** Picks a dataset or uploads one, and shows rows of it as the model will see them; and if need be one to evaluate on. */
export function DataStep(props: DataStepProps) {
  const { base, value, onChange, validation, onValidationChange } = props;
  const may = useMay();
  const chosen = useQuery({
    ...apiQuery<Dataset>(`/api/v1/files/${value}`),
    enabled: value !== null,
    staleTime: Infinity,
  }).data;
  return (
    <Stack gap="sm">
      <DatasetSelect
        label="Dataset"
        value={value ?? ''}
        onChange={(id) => onChange(id || null)}
        error={props.error}
      />
      {may('datasets.upload') && <UploadBox baseModel={base} onDone={({ id }) => onChange(id)} />}
      {chosen !== undefined && (
        <Text size="sm" c="dimmed">
          {formatCount(chosen.rows)} rows of format {chosen.format}, {formatBytes(chosen.bytes)}
          {chosen.tokens !== null &&
            `, ${formatCompact(chosen.tokens)} tokens of ${chosen.tokensOf}, ${formatCompact(chosen.lossTokens ?? 0)} of them learnt`}
          .
        </Text>
      )}
      {value !== null && base !== null && (
        <DataPreview key={`${value} ${base}`} dataset={value} base={base} />
      )}
      <DatasetSelect
        label="Evaluate on"
        description="A dataset of its own; all rows of the one above are trained on then."
        none="rows held out of the one above"
        value={validation ?? ''}
        onChange={(id) => onValidationChange(id || null)}
        error={props.validationError}
      />
    </Stack>
  );
}

import { Button, Checkbox, Group, NativeSelect, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import { type ApiKey, type Member, scopes } from '@lowrank/contracts';
import { useState } from 'react';
import { api } from '../../lib/api';
import { invalidate } from '../../lib/query';
import { useSession } from '../../lib/session';
import { fieldOf, useFormAction } from '../../lib/use-form-action';
import { RoleSelect } from '../role-select';
import { SecretOnce } from '../secret-once';
import { ErrorState } from '../states';

const lifetimes = [
  { value: '', label: 'Never' },
  { value: '7', label: 'In a week' },
  { value: '30', label: 'In 30 days' },
  { value: '90', label: 'In 90 days' },
  { value: '365', label: 'In a year' },
];

interface KeyFormProps {
  /** Where keys of this kind are made and listed: `/api/v1/keys`, or one's own. */
  path: string;
  /** Service accounts that a key can be for. */
  services?: Member[];
}

/** Makes an API key and shows its secret, this once. */
export function KeyForm({ path, services = [] }: KeyFormProps) {
  const { principal } = useSession();
  const [isNarrow, setNarrow] = useState(false);
  const [made, setMade] = useState<(ApiKey & { secret: string }) | null>(null);
  const { isBusy, error, onSubmit } = useFormAction(async (form) => {
    const days = fieldOf(form, 'expires');
    const service = fieldOf(form, 'service');
    setMade(
      await api.post(path, {
        name: fieldOf(form, 'name'),
        role: fieldOf(form, 'role'),
        ...(isNarrow ? { scopes: form.getAll('scopes').map(String) } : {}),
        ...(days === '' ? {} : { expiresAt: new Date(Date.now() + Number(days) * 86_400_000).toISOString() }),
        ...(service === '' ? {} : { serviceAccount: service }),
      }),
    );
    await invalidate(path);
  });
  return (
    <form onSubmit={(event) => void onSubmit(event)}>
      <Stack>
        <Group align="end" gap="sm">
          <TextInput
            name="name"
            label="Name"
            placeholder="laptop"
            required
            maxLength={64}
            style={{ flex: '1 1 160px' }}
            maw={280}
          />
          <RoleSelect highest={principal.role} />
          <NativeSelect name="expires" label="Expires" data={lifetimes} />
          {services.length > 0 && (
            <NativeSelect
              name="service"
              label="For"
              data={[
                { value: '', label: 'Me' },
                ...services.map(({ id, name }) => ({ value: id, label: name })),
              ]}
            />
          )}
          <Button type="submit" loading={isBusy}>
            Make a key
          </Button>
        </Group>
        <Checkbox
          label="Narrow it to parts of what its role may do"
          checked={isNarrow}
          onChange={({ currentTarget: { checked } }) => setNarrow(checked)}
        />
        {isNarrow && (
          <fieldset style={{ border: 0, padding: 0, margin: 0 }}>
            <Text component="legend" size="sm" fw={500} mb="xs">
              Scopes
            </Text>
            <SimpleGrid cols={{ base: 2, sm: 4 }} spacing="xs">
              {scopes.map((scope) => (
                <Checkbox key={scope} name="scopes" value={scope} label={scope} />
              ))}
            </SimpleGrid>
          </fieldset>
        )}
        {error !== null && <ErrorState error={error} />}
        {made !== null && (
          <SecretOnce title={`Key ${made.name}`} secret={made.secret} label={`the secret of ${made.name}`} />
        )}
      </Stack>
    </form>
  );
}

import { Button, type ButtonProps, Group, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { type ReactNode, useState } from 'react';
import { Dialog } from './dialog';
import { ErrorState } from './states';

interface ConfirmButtonProps extends ButtonProps {
  /** What the button says; where many are alike, `aria-label` says which one it is. */
  children: ReactNode;
  'aria-label'?: string;
  /** The question, and what will come of it. */
  title: string;
  explanation: ReactNode;
  /** What the button that does it says. */
  confirm: string;
  /** Does it; what it throws is shown in the dialog, which stays open then. */
  act: () => Promise<unknown>;
}

/** A button for what cannot be taken back, or concerns others: asks first. */
export function ConfirmButton({ title, explanation, confirm, act, children, ...button }: ConfirmButtonProps) {
  const [isOpen, { open, close }] = useDisclosure(false);
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const begin = () => {
    setError(null);
    open();
  };
  const go = async () => {
    setBusy(true);
    setError(null);
    try {
      await act();
      close();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Button variant="default" size="xs" {...button} onClick={begin}>
        {children}
      </Button>
      <Dialog isOpen={isOpen} close={close} title={title}>
        <Stack>
          <Text size="sm" component="div">
            {explanation}
          </Text>
          {error !== null && <ErrorState error={error} />}
          <Group justify="flex-end" gap="xs">
            <Button variant="default" onClick={close}>
              Back
            </Button>
            <Button color="red" loading={isBusy} onClick={() => void go()} data-autofocus>
              {confirm}
            </Button>
          </Group>
        </Stack>
      </Dialog>
    </>
  );
}

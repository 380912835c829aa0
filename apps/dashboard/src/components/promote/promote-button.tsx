import { Button } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { lazy } from 'react';
import { Dialog } from '../dialog';
import { Icon } from '../icon';
import { type Promotion } from './promote-form';

const PromoteForm = lazy(() => import('./promote-form'));

/** Has an alias of an adapter stand on a version: asks which alias. For whoever may do `adapters.write`. */
export function PromoteButton(promotion: Promotion) {
  const [isOpen, { open, close }] = useDisclosure(false);
  const { adapter, what } = promotion;
  return (
    <>
      <Button size="xs" onClick={open} leftSection={<Icon name="tag" size={15} />}>
        Promote {what}
      </Button>
      <Dialog isOpen={isOpen} close={close} title={`Promote ${what} of ${adapter}`}>
        <PromoteForm {...promotion} close={close} />
      </Dialog>
    </>
  );
}

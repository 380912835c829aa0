import { Button } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { Icon } from '../icon';
import { PromoteDialog } from './promote-dialog';
import { type Promotion } from './promote-form';

/** Has an alias of an adapter stand on a version: asks which alias. For whoever may do `adapters.write`. */
export function PromoteButton(promotion: Promotion) {
  const [isOpen, { open, close }] = useDisclosure(false);
  return (
    <>
      <Button size="xs" onClick={open} leftSection={<Icon name="tag" size={15} />}>
        Promote {promotion.what}
      </Button>
      <PromoteDialog promotion={isOpen ? promotion : null} close={close} />
    </>
  );
}

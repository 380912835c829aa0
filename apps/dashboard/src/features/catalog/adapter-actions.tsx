import { Button } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { type Adapter } from '@lowrank/contracts';
import { useNavigate } from '@tanstack/react-router';
import { LinkButton } from '../../components/links';
import { ConfirmButton } from '../../components/confirm-button';
import { Dialog } from '../../components/dialog';
import { Icon } from '../../components/icon';
import { api } from '../../lib/api';
import { notify } from '../../lib/notify';
import { invalidate } from '../../lib/query';
import { useMay } from '../../lib/session';
import { lazyPart } from '../../lib/lazy-part';

const DescribeForm = lazyPart(() => import('./describe-form'));

/** What can be done with an adapter as a whole. */
export function AdapterActions({ adapter, path }: { adapter: Adapter; path: string }) {
  const may = useMay();
  const navigate = useNavigate();
  const [isEditing, { open, close }] = useDisclosure(false);
  const { name, sharedBy, latestVersion, baseModel } = adapter;
  const full = sharedBy === null ? name : `${sharedBy}/${name}`;
  const isOwn = sharedBy === null && may('adapters.write');
  return (
    <>
      {latestVersion !== null && may('completions.generate') && (
        <LinkButton
          to="/try"
          search={{ left: sharedBy === null ? baseModel : undefined, right: full }}
          size="xs"
          leftSection={<Icon name="chat" size={15} />}
        >
          Try it
        </LinkButton>
      )}
      {sharedBy === null && may('audit.read') && (
        <LinkButton
          to="/admin/audit"
          search={{ target: name }}
          size="xs"
          variant="default"
          leftSection={<Icon name="list" size={15} />}
        >
          Audit log
        </LinkButton>
      )}
      {isOwn && (
        <>
          <Button size="xs" variant="default" onClick={open} leftSection={<Icon name="edit" size={15} />}>
            Describe
          </Button>
          <ConfirmButton
            title={`Delete ${name}?`}
            explanation="Nobody finds it any more, here or by other clients. It can be restored from the catalog's deleted adapters. Adapters that have aliases or unfinished jobs stay."
            confirm="Delete it"
            leftSection={<Icon name="trash" size={15} />}
            act={async () => {
              await api.delete(path);
              notify(`${name} is deleted.`);
              await navigate({ to: '/catalog' });
              await invalidate('/api/v1/adapters');
            }}
          >
            Delete
          </ConfirmButton>
          <Dialog isOpen={isEditing} close={close} title={`Describe ${name}`}>
            <DescribeForm adapter={adapter} path={path} close={close} />
          </Dialog>
        </>
      )}
    </>
  );
}

import { Button, Group, Modal, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { type Job } from '@lowrank/contracts';
import { useMutation } from '@tanstack/react-query';
import { Icon, type IconName } from '../../components/icon';
import { LinkButton } from '../../components/links';
import { api } from '../../lib/api';
import { notify, notifyError } from '../../lib/notify';
import { invalidate } from '../../lib/query';
import { useMay } from '../../lib/session';
import { PromoteButton } from './promote-button';

type Control = 'pause' | 'resume' | 'retry' | 'cancel';
/** What can be asked of a job in which state: docs/architecture.md, State. The API decides. */
const controls: Record<Control, { label: string; icon: IconName; states: Job['state'][] }> = {
  pause: { label: 'Pause', icon: 'pause', states: ['queued', 'preparing', 'running'] },
  resume: { label: 'Resume', icon: 'play', states: ['paused'] },
  retry: { label: 'Retry', icon: 'retry', states: ['failed', 'cancelled'] },
  cancel: {
    label: 'Cancel',
    icon: 'stop',
    states: ['queued', 'preparing', 'running', 'publishing', 'paused'],
  },
};

/** What can be done with a job now. */
export function RunActions({ job, onChange }: { job: Job; onChange: () => void }) {
  const may = useMay();
  const [isAsking, { open, close }] = useDisclosure(false);
  const control = useMutation({
    mutationFn: (action: Control) => api.post<Job>(`/api/v1/jobs/${job.id}/${action}`),
    onSuccess: (_job, action) => {
      notify(
        action === 'pause' && job.state === 'running'
          ? 'It writes a checkpoint and gives its slot back.'
          : `${controls[action].label}: done.`,
      );
      onChange();
      void invalidate('/api/v1/jobs');
    },
    onError: notifyError,
    onSettled: close,
  });
  const possible = (Object.keys(controls) as Control[]).filter((name) =>
    controls[name].states.includes(job.state),
  );
  const isAsked = (name: Control) =>
    name === 'cancel' ? job.cancelRequested : name === 'pause' && job.pauseRequested;
  return (
    <>
      {may('jobs.control') &&
        possible.map((name) => (
          <Button
            key={name}
            size="xs"
            variant="default"
            leftSection={<Icon name={controls[name].icon} size={15} />}
            loading={control.isPending && control.variables === name}
            disabled={isAsked(name)}
            onClick={() => (name === 'cancel' ? open() : control.mutate(name))}
          >
            {isAsked(name) ? `${controls[name].label} requested` : controls[name].label}
          </Button>
        ))}
      {job.version !== null && may('adapters.write') && (
        <PromoteButton adapter={job.adapter} version={job.version} />
      )}
      {job.work.kind === 'train' && may('jobs.submit') && (
        <LinkButton
          to="/jobs/new"
          search={{ from: job.id }}
          size="xs"
          variant="default"
          leftSection={<Icon name="copy" size={15} />}
        >
          Clone and edit
        </LinkButton>
      )}
      <Modal opened={isAsking} onClose={close} title="Cancel this job?" centered>
        <Text size="sm">
          It stops at its next micro-batch and publishes nothing. It can be queued again later, and goes on
          from its last checkpoint while that is kept.
        </Text>
        <Group justify="flex-end" mt="md">
          <Button variant="default" onClick={close}>
            Let it go on
          </Button>
          <Button color="red" loading={control.isPending} onClick={() => control.mutate('cancel')}>
            Cancel the job
          </Button>
        </Group>
      </Modal>
    </>
  );
}

import { Button } from '@mantine/core';
import { type Job } from '@lowrank/contracts';
import { useMutation } from '@tanstack/react-query';
import { Icon, type IconName } from '../../components/icon';
import { ConfirmButton } from '../../components/confirm-button';
import { LinkButton } from '../../components/links';
import { PromoteButton } from '../../components/promote/promote-button';
import { api } from '../../lib/api';
import { notify, notifyError } from '../../lib/notify';
import { invalidate } from '../../lib/query';
import { useMay } from '../../lib/session';

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
  });
  const possible = (Object.keys(controls) as Control[]).filter((name) =>
    controls[name].states.includes(job.state),
  );
  const isAsked = (name: Control) =>
    name === 'cancel' ? job.cancelRequested : name === 'pause' && job.pauseRequested;
  return (
    <>
      {may('jobs.control') &&
        possible.map((name) => {
          const { label, icon } = controls[name];
          const button = {
            leftSection: <Icon name={icon} size={15} />,
            disabled: isAsked(name),
            children: isAsked(name) ? `${label} requested` : label,
          };
          return name === 'cancel' ? (
            <ConfirmButton
              {...button}
              key={name}
              title="Cancel this job?"
              explanation="It stops at its next micro-batch and publishes nothing. It can be queued again later, and goes on from its last checkpoint while that is kept."
              confirm="Cancel the job"
              act={() => control.mutateAsync(name)}
            />
          ) : (
            <Button
              {...button}
              key={name}
              size="xs"
              variant="default"
              loading={control.isPending && control.variables === name}
              onClick={() => control.mutate(name, { onError: notifyError })}
            />
          );
        })}
      {job.version !== null && may('adapters.write') && (
        <PromoteButton adapter={job.adapter} what={`v${job.version}`} />
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
    </>
  );
}

import { Button, Group, SegmentedControl, Stack, Text } from '@mantine/core';
import { finalJobStates, type Job, type JobLogLine, type LogLevel } from '@lowrank/contracts';
import { useEffect, useRef, useState } from 'react';
import { Icon } from '../../components/icon';
import { EmptyState } from '../../components/states';

const levels: LogLevel[] = ['debug', 'info', 'warn', 'error'];
const colors: Partial<Record<LogLevel, string>> = {
  debug: 'var(--mantine-color-dimmed)',
  warn: 'light-dark(#8a4b00, var(--mantine-color-yellow-4))',
  error: 'var(--mantine-color-error)',
};

/** The job's log; follows its end while one is there, and stays where one has scrolled to. */
export function RunLogs({ job, log }: { job: Job; log: readonly JobLogLine[] }) {
  const [least, setLeast] = useState<LogLevel>('debug');
  const [isFollowing, setFollowing] = useState(true);
  const box = useRef<HTMLDivElement>(null);
  const shown = log.filter(({ level }) => levels.indexOf(level) >= levels.indexOf(least));
  useEffect(() => {
    if (isFollowing && box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [isFollowing, shown.length]);
  if (log.length === 0)
    return (
      <EmptyState icon="list" title="No lines yet">
        What trainers log and write to their output comes here, line by line.
      </EmptyState>
    );
  const download = () => {
    const text = log.map(({ at, level, message }) => `${at} ${level} ${message}\n`).join('');
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
    link.download = `${job.id}.log`;
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <SegmentedControl
          size="xs"
          aria-label="Least level"
          data={levels.map((level) => ({ value: level, label: level }))}
          value={least}
          onChange={(level) => setLeast(level as LogLevel)}
        />
        <Button
          size="xs"
          variant="default"
          onClick={download}
          leftSection={<Icon name="download" size={15} />}
        >
          Download
        </Button>
      </Group>
      <div
        ref={box}
        className="code"
        role="log"
        aria-label="Log"
        tabIndex={0}
        style={{ height: 'min(60vh, 560px)', whiteSpace: 'pre-wrap', overflowWrap: 'anywhere' }}
        onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) =>
          setFollowing(scrollHeight - scrollTop - clientHeight < 40)
        }
      >
        {shown.map(({ seq, at, level, message, epoch }) => (
          <div
            key={seq}
            style={{ color: colors[level], contentVisibility: 'auto', containIntrinsicSize: 'auto 20px' }}
          >
            {at.slice(11, 19)} {level.padEnd(5)} {job.epoch > 1 ? `[${epoch}] ` : ''}
            {message}
          </div>
        ))}
      </div>
      <Text size="xs" c="dimmed">
        {finalJobStates.includes(job.state)
          ? `${log.length} lines.`
          : isFollowing
            ? 'Following the end.'
            : 'Scroll to the end to follow it.'}
      </Text>
    </Stack>
  );
}

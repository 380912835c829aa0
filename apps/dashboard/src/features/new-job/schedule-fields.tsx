import { SimpleGrid, TextInput } from '@mantine/core';
import { useState } from 'react';
import { namesOf } from './lists';
import { type Schedule } from './schedule';

interface ScheduleProps {
  value: Schedule;
  onChange: (schedule: Schedule) => void;
  /** What the server says is wrong with a field of the request. */
  wrong: (path: string) => string | undefined;
}

/** When and where the job runs: all of it may be left alone. */
export function ScheduleFields({ value, onChange, wrong }: ScheduleProps) {
  const [classes, setClasses] = useState(value.deviceClasses.join(', '));
  const change = (changes: Partial<Schedule>) => onChange({ ...value, ...changes });
  return (
    <SimpleGrid cols={{ base: 1, xs: 2 }}>
      <TextInput
        type="number"
        label="Priority"
        description="From −100 to 100; a point is worth ten minutes of waiting."
        value={value.priority}
        onChange={(event) => change({ priority: Number(event.currentTarget.value) || 0 })}
        min={-100}
        max={100}
        error={wrong('priority')}
      />
      <TextInput
        label="Device classes"
        description="Such as cpu or h100, with commas between; empty: any."
        value={classes}
        onChange={({ currentTarget }) => {
          setClasses(currentTarget.value);
          change({ deviceClasses: namesOf(currentTarget.value) });
        }}
        error={wrong('placement.deviceClasses') ?? wrong('placement.deviceClasses.0')}
      />
      <TextInput
        type="datetime-local"
        label="Not before"
        description="It waits until then; empty: it starts at once."
        value={value.notBefore}
        onChange={({ currentTarget }) => change({ notBefore: currentTarget.value })}
        error={wrong('notBefore')}
      />
      <TextInput
        type="datetime-local"
        label="Deadline"
        description="It fails if it is not done by then; empty: it has all the time."
        value={value.deadline}
        onChange={({ currentTarget }) => change({ deadline: currentTarget.value })}
        error={wrong('deadline')}
      />
    </SimpleGrid>
  );
}

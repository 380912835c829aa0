import { type CreateJobInput } from '@lowrank/contracts';

/** When and where a job runs, as the form has it. */
export interface Schedule {
  priority: number;
  /** Empty: any. */
  deviceClasses: string[];
  /** Of a job that is cloned; null: not said. */
  memoryBytes: number | null;
  /** As the browser's field for times writes them, in its own zone; empty: none. */
  notBefore: string;
  deadline: string;
}

/** The fields of a request, but for those that are as by default. */
export function scheduleOf({
  priority,
  deviceClasses,
  memoryBytes,
  notBefore,
  deadline,
}: Schedule): Pick<CreateJobInput, 'priority' | 'placement' | 'notBefore' | 'deadline'> {
  const placement = {
    ...(deviceClasses.length === 0 ? {} : { deviceClasses }),
    ...(memoryBytes === null ? {} : { memoryBytes }),
  };
  return {
    ...(priority === 0 ? {} : { priority }),
    ...(Object.keys(placement).length === 0 ? {} : { placement }),
    ...(notBefore === '' ? {} : { notBefore: new Date(notBefore).toISOString() }),
    ...(deadline === '' ? {} : { deadline: new Date(deadline).toISOString() }),
  };
}

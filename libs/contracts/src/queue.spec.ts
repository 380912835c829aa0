import { jobWakeUpSchema, wakeUpPayloadSchema, wakeUpVersion } from './queue';

const jobId = `job_${'a'.repeat(24)}`;
const workerId = `wrk_${'b'.repeat(24)}`;

describe('jobWakeUpSchema', () => {
  it('reads what this release writes', () => {
    const payload = wakeUpPayloadSchema.parse({ v: wakeUpVersion, jobId, epoch: 3, workerId });
    expect(jobWakeUpSchema.parse(JSON.parse(JSON.stringify(payload)))).toEqual({ jobId, epoch: 3, workerId });
  });

  it('reads what the release before wrote: any worker may take it', () => {
    expect(jobWakeUpSchema.parse({ jobId, epoch: 1 })).toEqual({ jobId, epoch: 1, workerId: null });
  });

  it('reads fields that a patch release may add', () => {
    const payload = { v: 2, jobId, epoch: 1, workerId, hint: 'x' };
    expect(jobWakeUpSchema.parse(payload)).toEqual({ jobId, epoch: 1, workerId });
  });

  it.each([
    { v: 3, jobId, epoch: 1, workerId },
    { v: 2, jobId, epoch: 1 },
    { jobId: 'job_../etc', epoch: 1 },
    { jobId, epoch: 0 },
    'job',
    null,
  ])('refuses %j', (payload) => expect(jobWakeUpSchema.safeParse(payload).success).toBe(false));
});

import { type AttemptFacts, outcomeOf } from './outcome';

const facts = (fields: Partial<AttemptFacts>): AttemptFacts => ({
  exit: { code: 0, signal: null, systemRanOut: false, stderr: [] },
  lastWord: null,
  stopping: null,
  unreadable: null,
  deviceProblem: null,
  ...fields,
});
const crash = (fields: Partial<AttemptFacts>): string => {
  const outcome = outcomeOf(facts(fields));
  if (outcome.type !== 'crashed') throw new Error(`not a crash: ${outcome.type}`);
  return outcome.message;
};

describe('outcomeOf', () => {
  it("takes the trainer's word for a failure", () => {
    const failed = {
      type: 'failed',
      code: 'loss_not_finite',
      message: 'NaN at 7',
      retryable: false,
    } as const;
    expect(outcomeOf(facts({ lastWord: failed, stopping: 'drain' }))).toEqual(failed);
  });

  it.each([
    [{ lastWord: { type: 'stopped', reason: 'drain' } as const, stopping: 'drain' as const }, 'drained'],
    [{ lastWord: { type: 'stopped', reason: 'cancel' } as const, stopping: 'cancel' as const }, 'cancelled'],
    [
      {
        stopping: 'cancel' as const,
        exit: { code: null, signal: 'SIGKILL' as const, systemRanOut: false, stderr: [] },
      },
      'cancelled',
    ],
    [
      {
        stopping: 'drain' as const,
        exit: { code: null, signal: 'SIGKILL' as const, systemRanOut: false, stderr: [] },
      },
      'drained',
    ],
  ])('counts a stop that was asked for as obeyed: %j', (fields, type) => {
    expect(outcomeOf(facts(fields))).toEqual({ type });
  });

  it('says how a trainer died', () => {
    expect(crash({ exit: { code: null, signal: 'SIGKILL', systemRanOut: false, stderr: [] } })).toMatch(
      /killed by SIGKILL/,
    );
    expect(crash({ exit: { code: null, signal: 'SIGSEGV', systemRanOut: false, stderr: [] } })).toMatch(
      /killed by SIGSEGV/,
    );
    expect(crash({ exit: { code: 7, signal: null, systemRanOut: false, stderr: ['one', 'two'] } })).toMatch(
      /exit code 7.*one\ntwo/s,
    );
    expect(crash({})).toMatch(/without a result/);
    expect(crash({ exit: { code: null, signal: null, systemRanOut: false, stderr: ['ENOENT'] } })).toMatch(
      /could not be started.*ENOENT/s,
    );
    const stderr = ['FATAL ERROR: … JavaScript heap out of memory'];
    expect(crash({ exit: { code: null, signal: 'SIGABRT', systemRanOut: false, stderr } })).toMatch(
      /JavaScript heap/,
    );
  });

  it('says why the worker killed it, and what could not be read', () => {
    const message = crash({
      unreadable: '{"type":"x"}: Invalid input',
      exit: {
        ...{ code: null, signal: 'SIGKILL', systemRanOut: false, stderr: [] },
        killedFor: 'the trainer said nothing for 60 s and was killed.',
      },
    });
    expect(message).toMatch(/nothing for 60 s/);
    expect(message).toMatch(/could not be read: \{"type":"x"\}/);
    expect(message).not.toMatch(/out of memory/);
  });

  it('tells a lack of memory from other kills', () => {
    const killed = { code: null, signal: 'SIGKILL' as const, systemRanOut: true, stderr: [] };
    expect(outcomeOf(facts({ exit: killed }))).toMatchObject({ type: 'failed', code: 'out_of_memory' });
    expect(outcomeOf(facts({ exit: { ...killed, killedFor: 'it said nothing.' } }))).toMatchObject({
      type: 'crashed',
    });
    expect(outcomeOf(facts({ exit: { ...killed, code: 1, signal: null } }))).toMatchObject({
      type: 'crashed',
    });
  });

  it.each(['SIGILL', 'SIGBUS'] as const)('takes %s for a fault of the machine', (signal) => {
    const exit = { code: null, signal, systemRanOut: false, stderr: [] };
    expect(outcomeOf(facts({ exit }))).toMatchObject({ type: 'device_failed' });
  });

  it('does not charge a crash on a device that is known to be lost', () => {
    const deviceProblem = 'GPU GPU-1 is gone';
    expect(outcomeOf(facts({ exit: { ...facts({}).exit, code: 134 }, deviceProblem }))).toEqual({
      type: 'device_failed',
      message: 'GPU GPU-1 is gone; the trainer ended with exit code 134.',
    });
    expect(outcomeOf(facts({ stopping: 'drain', deviceProblem }))).toEqual({ type: 'drained' });
  });

  it("takes the trainer's word for a device that does not work", () => {
    const lastWord = {
      type: 'failed',
      code: 'device_failed',
      message: 'no kernels',
      retryable: true,
    } as const;
    expect(outcomeOf(facts({ lastWord }))).toEqual({ type: 'device_failed', message: 'no kernels' });
  });
});

import { type AttemptFacts, outcomeOf } from './outcome';

const facts = (fields: Partial<AttemptFacts>): AttemptFacts => ({
  exit: { code: 0, signal: null, stderr: [] },
  lastWord: null,
  stopping: null,
  unreadable: null,
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
      { stopping: 'cancel' as const, exit: { code: null, signal: 'SIGKILL' as const, stderr: [] } },
      'cancelled',
    ],
    [{ stopping: 'drain' as const, exit: { code: null, signal: 'SIGKILL' as const, stderr: [] } }, 'drained'],
  ])('counts a stop that was asked for as obeyed: %j', (fields, type) => {
    expect(outcomeOf(facts(fields))).toEqual({ type });
  });

  it('says how a trainer died', () => {
    expect(crash({ exit: { code: null, signal: 'SIGKILL', stderr: [] } })).toMatch(/SIGKILL.*out of memory/);
    expect(crash({ exit: { code: null, signal: 'SIGSEGV', stderr: [] } })).toMatch(/killed by SIGSEGV/);
    expect(crash({ exit: { code: 7, signal: null, stderr: ['one', 'two'] } })).toMatch(
      /exit code 7.*one\ntwo/s,
    );
    expect(crash({})).toMatch(/without a result/);
    expect(crash({ exit: { code: null, signal: null, stderr: ['ENOENT'] } })).toMatch(
      /could not be started.*ENOENT/s,
    );
    const stderr = ['FATAL ERROR: … JavaScript heap out of memory'];
    expect(crash({ exit: { code: null, signal: 'SIGABRT', stderr } })).toMatch(/JavaScript heap/);
  });

  it('says why the worker killed it, and what could not be read', () => {
    const message = crash({
      unreadable: '{"type":"x"}: Invalid input',
      exit: {
        ...{ code: null, signal: 'SIGKILL', stderr: [] },
        killedFor: 'the trainer said nothing for 60 s and was killed.',
      },
    });
    expect(message).toMatch(/nothing for 60 s/);
    expect(message).toMatch(/could not be read: \{"type":"x"\}/);
    expect(message).not.toMatch(/out of memory/);
  });
});

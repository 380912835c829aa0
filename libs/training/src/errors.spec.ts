import { LowrankError } from '@lowrank/contracts';
import { openKernels } from '@lowrank/kernels';
import { isCancelled, publicError } from './errors';

/** What the library rejects with when it is asked for a base that is not there. */
async function ioError(): Promise<Error> {
  const kernels = openKernels({ threads: 1 });
  const error = (await kernels.openBase('/nowhere/base.lrb').catch((reason: unknown) => reason)) as Error;
  kernels.close();
  return error;
}

describe('public errors', () => {
  it.each([
    ['out_of_memory', 'out_of_memory'],
    ['not_finite', 'loss_not_finite'],
    ['unsupported_model', 'base_model_unsupported'],
    ['bad_format', 'base_model_invalid'],
    ['device_failed', 'device_failed'],
    ['io_error', 'internal'],
    ['invalid_argument', 'internal'],
  ])('are %s → %s', async (status, code) => {
    const error = Object.assign(await ioError(), { status });
    expect(publicError(error)).toMatchObject({ code, message: error.message, cause: error });
  });

  it('are the others as they came', () => {
    for (const error of [
      new LowrankError('dataset_empty', 'no rows'),
      new TypeError('x'),
      'drain',
      undefined,
    ])
      expect(publicError(error)).toBe(error);
  });

  it.each([
    ['a cancelled kernel call', async () => Object.assign(await ioError(), { status: 'cancelled' }), true],
    ['an aborted wait', () => Object.assign(new Error('aborted'), { name: 'AbortError' }), true],
    ['another kernel error', ioError, false],
    ['anything else', () => new Error('cancelled'), false],
  ])('%s counts as cancelled or not', async (_title, make, expected) => {
    expect(isCancelled(await make())).toBe(expected);
  });
});

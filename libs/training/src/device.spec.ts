import { openDevice } from './device';

it('tells a device that does not work from other errors', () => {
  const isa = 'of-no-machine' as 'auto';
  expect(() => openDevice({ threads: 1, isa })).toThrow(
    expect.objectContaining({
      code: 'device_failed',
      message: expect.stringContaining('of-no-machine') as string,
    }),
  );
});

import { formatLogLine } from './logs';

it('shows when, how bad and what, and the attempt from the second on', () => {
  const line = {
    seq: 7,
    at: '2026-01-01T12:00:00.000Z',
    epoch: 1,
    level: 'warn',
    message: 'slow disk',
  } as const;
  expect(formatLogLine(line)).toBe('2026-01-01T12:00:00.000Z warn  slow disk');
  expect(formatLogLine({ ...line, epoch: 2, level: 'error' })).toBe(
    '2026-01-01T12:00:00.000Z #2 error slow disk',
  );
});

import { scheduleOf } from './schedule';

const usual = { priority: 0, deviceClasses: [], memoryBytes: null, notBefore: '', deadline: '' };

it('says nothing of what is as by default', () => expect(scheduleOf(usual)).toEqual({}));

it('says the rest, times in UTC', () => {
  const local = '2035-01-02T03:04';
  expect(scheduleOf({ ...usual, priority: -3, deviceClasses: ['cpu'], notBefore: local })).toEqual({
    priority: -3,
    placement: { deviceClasses: ['cpu'] },
    notBefore: new Date(2035, 0, 2, 3, 4).toISOString(),
  });
  expect(scheduleOf({ ...usual, memoryBytes: 5e9, deadline: local })).toEqual({
    placement: { memoryBytes: 5e9 },
    deadline: new Date(2035, 0, 2, 3, 4).toISOString(),
  });
});

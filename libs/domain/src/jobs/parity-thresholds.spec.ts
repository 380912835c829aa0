import { type LowrankError, parityThresholds, type Role } from '@lowrank/contracts';
import { thresholdsFor } from './parity-thresholds';

const usual = parityThresholds.merged;
const refused = (role: Role, asked: object): LowrankError => {
  try {
    thresholdsFor({ role }, usual, asked);
  } catch (error) {
    return error as LowrankError;
  }
  throw new Error('it was accepted');
};

describe('thresholdsFor', () => {
  it('are the usual ones, or stricter ones that anybody asks for', () => {
    expect(thresholdsFor({ role: 'member' }, usual, {})).toEqual(usual);
    expect(thresholdsFor({ role: 'member' }, usual, usual)).toEqual(usual);
    const strict = { klMean: 0, agreement: 1 };
    expect(thresholdsFor({ role: 'member' }, usual, strict)).toEqual(strict);
  });

  it.each<Role>(['admin', 'owner'])('are as loose as an %s asks for', (role) => {
    const loose = { klMean: 100, agreement: 0 };
    expect(thresholdsFor({ role }, usual, loose)).toEqual(loose);
  });

  it('are never looser for anybody else, and it is said where', () => {
    const error = refused('member', { klMean: 100, agreement: 0 });
    expect(error).toMatchObject({ code: 'forbidden', status: 403 });
    expect(error.message).toContain('parity.klMean: 100 is above 0.01; parity.agreement: 0 is below 0.98');
    expect(error.details?.map(({ path }) => path)).toEqual(['parity.klMean', 'parity.agreement']);
    // One that is stricter does not make up for one that is looser.
    expect(refused('member', { klMean: 0.0101, agreement: 1 }).details).toHaveLength(1);
  });
});

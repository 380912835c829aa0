import { LowrankError, type ParityThresholds, type Principal } from '@lowrank/contracts';
import { isAtLeast } from '../access/allow';

/** Who submits it, in the team that it belongs to. */
export type Submitter = Pick<Principal, 'teamId' | 'role'>;

/**
 * What a result has to reach to be published: the usual thresholds, and those that a request asks for instead. Only admins may ask for looser
 * ones, or a certificate would say nothing that its reader can rely on. Error: forbidden, with each field that is too loose.
 */
export function thresholdsFor(
  { role }: Pick<Submitter, 'role'>,
  usual: ParityThresholds,
  asked: Partial<ParityThresholds>,
): ParityThresholds {
  const wanted = { ...usual, ...asked };
  if (isAtLeast(role, 'admin')) return wanted;
  const details = [
    ...(wanted.klMean > usual.klMean
      ? [{ path: 'parity.klMean', message: `${wanted.klMean} is above ${usual.klMean}` }]
      : []),
    ...(wanted.agreement < usual.agreement
      ? [{ path: 'parity.agreement', message: `${wanted.agreement} is below ${usual.agreement}` }]
      : []),
  ];
  if (details.length === 0) return wanted;
  const fields = details.map(({ path, message }) => `${path}: ${message}`).join('; ');
  throw new LowrankError(
    'forbidden',
    `Thresholds looser than the usual ones need the role admin; yours is ${role} (${fields}).`,
    details,
    { help: 'Leave parity out, ask for stricter thresholds, or have an admin submit it.' },
  );
}

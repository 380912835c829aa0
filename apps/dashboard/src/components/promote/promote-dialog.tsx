import { Dialog } from '../dialog';
import { type Promotion } from './promote-form';
import { lazyPart } from '../../lib/lazy-part';

const PromoteForm = lazyPart(() => import('./promote-form'));

/** Asks which alias is to stand on a version, or on what becomes one. `promotion`: null while it is closed. */
export function PromoteDialog({ promotion, close }: { promotion: Promotion | null; close: () => void }) {
  return (
    <Dialog
      isOpen={promotion !== null}
      close={close}
      title={`Promote ${promotion?.what} of ${promotion?.adapter}`}
    >
      {promotion !== null && <PromoteForm {...promotion} close={close} />}
    </Dialog>
  );
}

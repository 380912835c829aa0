import { type ModalProps } from '@mantine/core';
import { type ReactNode, Suspense, useState } from 'react';
import { LoadingState } from './states';
import { lazyPart } from '../lib/lazy-part';

// No page begins with an open dialog.
const Modal = lazyPart(() => import('./modal'));

interface DialogProps extends Pick<ModalProps, 'size'> {
  isOpen: boolean;
  close: () => void;
  title: string;
  /** May be lazy: its code comes when the dialog opens. */
  children: ReactNode;
}

/** A dialog over the page, which Escape closes. */
export function Dialog({ isOpen, close, title, children, ...others }: DialogProps) {
  const [wasOpen, setWasOpen] = useState(isOpen);
  if (isOpen && !wasOpen) setWasOpen(true);
  // While it closes, what it was about is often gone already.
  const [shownTitle, setShownTitle] = useState(title);
  if (isOpen && title !== shownTitle) setShownTitle(title);
  return (
    wasOpen && (
      <Suspense>
        <Modal
          opened={isOpen}
          onClose={close}
          title={shownTitle}
          closeButtonProps={{ 'aria-label': 'Close' }}
          {...others}
        >
          <Suspense fallback={<LoadingState />}>{children}</Suspense>
        </Modal>
      </Suspense>
    )
  );
}

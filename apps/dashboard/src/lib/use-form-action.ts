import { type FormEvent, useState } from 'react';

/** A form that does one thing: whether it does, what went wrong, and its handler. What `act` throws is the error. */
export function useFormAction(act: (form: FormData) => Promise<void>) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const onSubmit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    setBusy(true);
    setError(null);
    try {
      await act(new FormData(form));
      form.reset();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return { isBusy, error, onSubmit };
}

/** A field of a form as trimmed text. */
export const fieldOf = (form: FormData, name: string): string => String(form.get(name) ?? '').trim();

import { LowrankError } from '@lowrank/contracts';
import { compileSchema } from './compile';
import { Machine, type Position } from './machine';
import { type FormSchema } from './thread';
import { Vocabulary } from './vocabulary';

/** Schemas whose machines are kept, and positions of each whose tokens are: they are dear to find. */
const keptMachines = 32;
const keptMasks = 512;

interface Followed {
  machine: Machine;
  masked: Set<Position>;
}

export interface FormStep {
  allowed: Uint32Array;
  /** Nothing can follow: the value is whole. */
  whole: boolean;
}

/** Follows many answers at once, each by its form. */
export class Forms {
  private readonly vocabulary: Vocabulary;
  /** By their schemas, in the order of their last use. */
  private readonly machines = new Map<string, Followed>();
  private readonly opened = new Map<number, { followed: Followed; position: Position }>();

  constructor(
    size: number,
    private readonly bytesOf: (id: number) => Uint8Array | null,
    stopIds: readonly number[],
  ) {
    this.vocabulary = new Vocabulary(size, bytesOf, stopIds);
  }

  /** `key`: of the schema; `begun`: what there is of the value already. null: no value begins so. Errors: those of compileSchema. */
  open(
    form: number,
    schema: FormSchema,
    path: string,
    key: string,
    begun: Uint8Array = new Uint8Array(),
  ): FormStep | null {
    const followed = this.machines.get(key) ?? {
      machine: new Machine(compileSchema(schema, path)),
      masked: new Set(),
    };
    this.machines.delete(key);
    this.machines.set(key, followed);
    for (const oldest of this.machines.keys()) {
      if (this.machines.size <= keptMachines) break;
      this.machines.delete(oldest);
    }
    const position = followed.machine.follow(begun);
    if (position === null) return null;
    this.opened.set(form, { followed, position });
    return this.step(followed, position);
  }

  /** Goes on by a token that was allowed. One that ends an answer leads nowhere. */
  accept(form: number, token: number): FormStep {
    const at = this.opened.get(form);
    if (at === undefined) throw new Error(`no form ${form} is open`);
    for (const byte of this.bytesOf(token) ?? []) {
      const next = at.followed.machine.step(at.position, byte);
      if (next === null) throw new Error(`token ${token} is not one that the form allows`);
      at.position = next;
    }
    return this.step(at.followed, at.position);
  }

  close(form: number): void {
    this.opened.delete(form);
  }

  private step({ machine, masked }: Followed, position: Position): FormStep {
    if (position.mask === null) {
      position.mask = this.vocabulary.allowed(machine, position);
      masked.add(position);
      for (const oldest of masked) {
        if (masked.size <= keptMasks) break;
        oldest.mask = null;
        masked.delete(oldest);
      }
    }
    const whole = position.whole && position.frames.length === 0;
    if (!whole && position.mask.every((word) => word === 0))
      throw new LowrankError(
        'validation_failed',
        "The model's vocabulary cannot write what the schema asks for.",
        [{ path: 'response_format', message: "has what the model's tokens cannot spell" }],
      );
    return { allowed: position.mask, whole };
  }
}

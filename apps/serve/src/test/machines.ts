import { compileSchema } from '../form/compile';
import { Machine, type Position } from '../form/machine';

export { takes } from '../form/machine';

export const machineOf = (schema: Record<string, unknown>) => new Machine(compileSchema(schema, 'schema'));

export const follow = (machine: Machine, text: string): Position | null => machine.follow(Buffer.from(text));

/** Numbers in [0, 1) of a fixed sequence (xorshift32). */
export function numbers(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** A text that the machine takes, drawn byte by byte; what ends something is drawn more often, so that it ends. */
export function draw(machine: Machine, next: () => number): string {
  const bytes: number[] = [];
  for (let at = machine.start; ;) {
    const ways = Array.from({ length: 256 }, (_, byte) => [byte, machine.step(at, byte)] as const).filter(
      ([, then]) => then !== null,
    );
    if (ways.length === 0 || (at.whole && next() < 0.3)) {
      expect(at.whole).toBe(true);
      return Buffer.from(bytes).toString();
    }
    const ends = ways.filter(([byte]) => '"}],:'.includes(String.fromCharCode(byte)));
    const from = ends.length > 0 && next() < 0.4 + bytes.length / 400 ? ends : ways;
    const [byte, then] = from[Math.floor(next() * from.length)] as readonly [number, Position];
    bytes.push(byte);
    at = then;
  }
}

/** What tells how a tokenizer.json spells text with tokens. */
export interface TokenSpelling {
  decoder: unknown;
  added: readonly { id: number; content: string; special?: boolean }[];
  /** The vocabulary's own writing of a token. */
  tokenOf(id: number): string | undefined;
}

interface Decoder {
  type?: unknown;
  decoders?: Decoder[];
  pattern?: { String?: unknown };
  content?: unknown;
}

/** Characters that GPT-2's byte-level vocabularies write the bytes 0 … 255 with, to those bytes. */
const byteOf = new Map<string, number>();
for (let byte = 0, hidden = 256; byte < 256; byte += 1) {
  const visible = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  byteOf.set(String.fromCharCode(visible ? byte : hidden++), byte);
}

export function isByteLevel(decoder: unknown): boolean {
  const { type, decoders } = (decoder ?? {}) as Decoder;
  return (
    type === 'ByteLevel' ||
    (type === 'Sequence' && decoders?.length === 1 && decoders[0]?.type === 'ByteLevel')
  );
}

/** SentencePiece's way: ▁ is a space, and <0x0A> a byte where a vocabulary falls back on bytes. */
function isSentencePiece(decoder: unknown): boolean {
  const { type, decoders = [] } = (decoder ?? {}) as Decoder;
  const known = (part: Decoder) =>
    part.type === 'ByteFallback' ||
    part.type === 'Fuse' ||
    part.type === 'Strip' ||
    part.type === 'Metaspace' ||
    (part.type === 'Replace' && part.pattern?.String === '▁' && part.content === ' ');
  return type === 'Metaspace' || (type === 'Sequence' && decoders.length > 0 && decoders.every(known));
}

function byteLevelBytes(token: string): Uint8Array | null {
  const bytes = Array.from(token, (character) => byteOf.get(character));
  return bytes.some((byte) => byte === undefined) ? null : Uint8Array.from(bytes as number[]);
}

function sentencePieceBytes(token: string): Uint8Array {
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
  return byte ? Uint8Array.of(parseInt(byte[1] as string, 16)) : Buffer.from(token.replaceAll('▁', ' '));
}

/**
 * The UTF-8 bytes that tokens write within a text: byte-level BPE (GPT-2's table) and SentencePiece's vocabularies, with byte fallback or
 * without. null for a token that writes nothing (special ones), that there is not, or where tokens do not spell their text.
 */
export function tokenBytes({ decoder, added, tokenOf }: TokenSpelling): (id: number) => Uint8Array | null {
  const byId = new Map(added.map((token) => [token.id, token]));
  const spell = isByteLevel(decoder)
    ? byteLevelBytes
    : isSentencePiece(decoder)
      ? sentencePieceBytes
      : () => null;
  return (id) => {
    const own = byId.get(id);
    if (own !== undefined) return own.special === true ? null : Buffer.from(own.content);
    const token = tokenOf(id);
    return token === undefined || token === '' ? null : spell(token);
  };
}

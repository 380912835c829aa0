// What a trainer takes beside the kernel library: measured, not planned, since Node's heap grows as it likes.

/** The conversations that a dataset becomes, all of which stay in memory. */
export interface Dataset {
  /** Two of a preference row. */
  conversations: number;
  tokens: number;
}

/** Node with the code of trainer and kernel library, and room that its heap leaves between collections. */
const processBytes = 99 * 2 ** 20;
/**
 * Resident bytes for each byte of tokenizer.json once it is parsed and its vocabulary indexed; and of the thread that encodes the
 * dataset with a tokenizer of its own, which ends before training begins.
 */
const bytesPerTokenizerByte = 19;
const threadBytesPerTokenizerByte = 21;
/** Of a token: its id and whether it is learnt. Of a conversation: the objects that hold them. */
const bytesPerToken = 5;
const bytesPerConversation = 800;

/** Of the thread that encodes the dataset. */
export const encodingBytes = (tokenizerBytes: number): number => threadBytesPerTokenizerByte * tokenizerBytes;

export function processMemory({ conversations, tokens }: Dataset, tokenizerBytes: number) {
  return {
    dataset: bytesPerToken * tokens + bytesPerConversation * conversations,
    tokenizer: bytesPerTokenizerByte * tokenizerBytes,
    process: processBytes,
  };
}

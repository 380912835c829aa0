import { z } from 'zod';

/**
 * Every public error: its HTTP status and what to do about it. docs/errors.md has a section per code; a test holds the two
 * together. A code, once released, keeps its meaning.
 */
export const errorCatalog = {
  unauthorized: { status: 401, help: 'Send a valid API key as "Authorization: Bearer lrk_…".' },
  key_expired: { status: 401, help: 'Use another key, or have an admin of the team make a new one.' },
  forbidden: { status: 403, help: 'Use a key that is allowed to do this.' },
  sign_in_failed: { status: 401, help: 'Check address and password.' },
  cross_origin_refused: { status: 403, help: "Send it from the API's own origin, or with an API key." },
  invitation_invalid: { status: 410, help: 'Ask an admin of the team for a new invitation.' },
  reset_invalid: { status: 410, help: 'Ask an admin of the team to reset the password again.' },
  not_found: { status: 404, help: 'Check the name or id; list the collection to see what exists.' },
  validation_failed: { status: 400, help: 'Correct the fields listed in details.' },
  body_too_large: { status: 413, help: 'Send less, or raise the limit in the configuration.' },
  unsupported_media_type: { status: 415, help: 'Send the content type that the route documents.' },
  range_not_satisfiable: {
    status: 416,
    help: 'Ask for bytes that the file has; Content-Range says how many.',
  },
  conflict: { status: 409, help: 'Read the current state and decide again.' },
  illegal_transition: {
    status: 409,
    help: 'Do one of the things that the message lists, or wait for another state.',
  },
  name_taken: { status: 409, help: 'Choose another name.' },
  gate_not_passed: {
    status: 409,
    help: 'Have the version evaluated for the alias ("lowrank evaluate", or POST …/evaluations), or move to one that passes.',
  },
  in_use: { status: 409, help: 'Remove what uses it first.' },
  dataset_invalid: { status: 422, help: 'Correct the lines listed in details and upload again.' },
  upload_incomplete: { status: 409, help: 'Send the parts that the message names, and complete it again.' },
  upload_damaged: { status: 422, help: 'Upload the file again.' },
  dataset_empty: { status: 422, help: 'Upload at least one row with an assistant answer.' },
  base_model_invalid: {
    status: 422,
    help: 'Import a Hugging Face folder with config.json, tokenizer.json and *.safetensors.',
  },
  base_model_unsupported: { status: 422, help: 'Choose a model of a supported architecture.' },
  pickle_refused: {
    status: 422,
    help: 'Convert the weights to safetensors; pickle files can run code and are never read.',
  },
  import_path_refused: {
    status: 422,
    help: 'Put the folder under one of the allowed import roots (LOWRANK_IMPORT_ROOTS).',
  },
  address_refused: {
    status: 422,
    help: 'Use a public address, or have its network listed in LOWRANK_WEBHOOK_NETWORKS.',
  },
  download_failed: {
    status: 422,
    help: 'Check that the URL answers with the file itself, without a login.',
  },
  hub_unreachable: { status: 502, help: 'Check the network, or import a local folder.' },
  adapter_invalid: {
    status: 422,
    help: "Import a folder in PEFT's format: LoRA on linear layers of this base model.",
  },
  recipe_invalid: { status: 422, help: 'Correct the recipe fields listed in details.' },
  base_model_not_ready: { status: 409, help: 'Wait until the import has finished.' },
  no_worker_fits: {
    status: 422,
    help: 'Change what details propose, or start a worker with more memory. placement.memoryBytes overrules the prediction.',
  },
  integrity_failed: {
    status: 500,
    help: 'A stored file does not match its SHA-256; restore it from a backup or publish again.',
  },
  store_unavailable: { status: 503, help: 'The object store or database did not answer; try again shortly.' },
  quota_exceeded: {
    status: 429,
    help: "Wait until jobs of your team have ended, or ask an admin to raise the team's quota.",
  },
  rate_limited: { status: 429, help: 'Wait for the time in the Retry-After header.' },
  server_busy: { status: 429, help: 'Try again in a moment, or start more servers.' },
  server_memory_short: {
    status: 503,
    help: 'Raise LOWRANK_SERVE_MEMORY, lower LOWRANK_SERVE_CACHE_TOKENS, unpin adapters, or start a server with more memory.',
  },
  server_unavailable: {
    status: 503,
    help: 'Start apps/serve, or look at its log; LOWRANK_SERVE_URL says where it is.',
  },
  server_draining: {
    status: 503,
    help: 'The server is about to leave: send the request to another, or again.',
  },
  context_exceeded: {
    status: 400,
    help: 'Shorten the conversation, or use a base model with a longer context.',
  },
  template_mismatch: { status: 409, help: 'Serve it on the base model that it was trained on.' },
  // Reasons of a failed job.
  trainer_crashed: {
    status: 500,
    help: 'Look at the job events; the trainer died repeatedly without progress.',
  },
  out_of_memory: {
    status: 500,
    help: 'Use a smaller sequence length or fewer rows, or a worker with more memory.',
  },
  disk_full: {
    status: 507,
    help: "Free some space on the worker's disk; the job goes on from its last checkpoint.",
  },
  device_failed: {
    status: 500,
    help: "Look at the worker's log and its machine; it takes no jobs until an admin undrains it.",
  },
  loss_not_finite: { status: 500, help: 'Lower the learning rate or check the data.' },
  export_unsupported: { status: 422, help: 'Choose another format, or a base model that the message names.' },
  parity_failed: {
    status: 422,
    help: "Choose a format that loses less, or pull the adapter itself; of a combination a higher rank, `cat`, or other thresholds. The job's log has every figure.",
  },
  evaluation_failed: {
    status: 422,
    help: 'Correct the measure that the message names, or choose another dataset.',
  },
  deadline_exceeded: { status: 409, help: 'Submit it again with a later deadline, or without one.' },
  sequence_too_long: { status: 422, help: 'Raise training.sequenceLength or shorten the rows.' },
  internal: { status: 500, help: 'This is a bug in Lowrank; report it with the request id.' },
} as const;

export type ErrorCode = keyof typeof errorCatalog;
export const errorCodeSchema = z.enum(Object.keys(errorCatalog) as [ErrorCode, ...ErrorCode[]]);

/** Where something is wrong: a field path, or a line (1-based) of an uploaded file. */
export const errorDetailSchema = z.object({
  path: z.string().optional(),
  line: z.int().positive().optional(),
  message: z.string(),
});
export type ErrorDetail = z.infer<typeof errorDetailSchema>;

export const errorBodySchema = z.object({
  error: z.object({
    code: errorCodeSchema,
    message: z.string(),
    help: z.string(),
    details: z.array(errorDetailSchema).optional(),
    requestId: z.string().optional(),
  }),
});
export type ErrorBody = z.infer<typeof errorBodySchema>;

/** The one error class that crosses projects. `message` says what was wrong and where; `help` defaults to the catalog's. */
export class LowrankError extends Error {
  readonly status: number;
  readonly help: string;

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details?: ErrorDetail[],
    options?: { help?: string; cause?: unknown },
  ) {
    super(message, { cause: options?.cause });
    this.name = 'LowrankError';
    this.status = errorCatalog[code].status;
    this.help = options?.help ?? errorCatalog[code].help;
  }

  toBody(requestId?: string): ErrorBody {
    return {
      error: { code: this.code, message: this.message, help: this.help, details: this.details, requestId },
    };
  }
}

import { LowrankError, type ChatMessage } from '@lowrank/contracts';
import { createHash } from 'node:crypto';
import { Environment, Interpreter, Template, type TemplateValue } from './huggingface';

const TIME_LIMIT_MS = 1000;
const OUTPUT_LIMIT = 1 << 20;
const TEMPLATE_LIMIT = 256 << 10;
/** Loops of templates run over messages, of which there are at most 1,000. */
const RANGE_LIMIT = 10_000;

export interface RenderOptions {
  /** End with what comes before an answer of the assistant. */
  addGenerationPrompt?: boolean;
}

export interface ChatTemplate {
  /** Throws LowrankError base_model_invalid when the template fails, takes over 1 s or writes 1 MiB more than it was given. */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
  /** SHA-256 of the template's text. */
  sha256: string;
}

/**
 * Jinja's interpreter, stopped when its time is over or when a string or list grows beyond what a conversation needs. Every node of
 * a template is evaluated here, and no node does more work than its operands are long.
 */
class BoundedInterpreter extends Interpreter {
  private readonly deadline = performance.now() + TIME_LIMIT_MS;
  private steps = 0;

  constructor(
    scope: Environment,
    private readonly sizeLimit: number,
  ) {
    super(scope);
  }

  override evaluate(statement: unknown, scope: Environment): TemplateValue {
    this.steps += 1;
    if ((this.steps & 0xff) === 0 && performance.now() > this.deadline)
      throw new Error(`it takes longer than ${TIME_LIMIT_MS} ms`);
    const result = super.evaluate(statement, scope);
    const { value } = result;
    if ((typeof value === 'string' || Array.isArray(value)) && value.length > this.sizeLimit)
      throw new Error(`it makes more than ${this.sizeLimit} characters`);
    return result;
  }
}

function failure(error: unknown): LowrankError {
  const message = `the chat template fails: ${String((error as Error).message).slice(0, 300)}`;
  return new LowrankError('base_model_invalid', message, undefined, { cause: error });
}

function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (!(length <= RANGE_LIMIT)) throw new Error(`range() of ${length} numbers`);
  return Array.from({ length }, (_, i) => from + i * step);
}

/** What a template can see: Jinja's constants, the helpers that transformers gives it, and `variables`. */
function environment(variables: Record<string, unknown>): Environment {
  const globals = {
    true: true,
    True: true,
    false: false,
    False: false,
    none: null,
    None: null,
    range,
    raise_exception: (message: string) => {
      throw new Error(message);
    },
  };
  const scope = new Environment();
  for (const [name, value] of Object.entries({ ...globals, ...variables })) scope.set(name, value);
  return scope;
}

/**
 * A model's own chat template. Jinja without access to anything but the messages and the special tokens; no clock, so that the
 * same messages always give the same text.
 */
export function compileTemplate(source: string, specialTokens: Record<string, string>): ChatTemplate {
  if (source.length > TEMPLATE_LIMIT)
    throw new LowrankError(
      'base_model_invalid',
      `the chat template has more than ${TEMPLATE_LIMIT} characters`,
    );
  let template: Template;
  try {
    template = new Template(source);
  } catch (error) {
    throw failure(error);
  }
  return {
    sha256: createHash('sha256').update(source).digest('hex'),
    render(messages, { addGenerationPrompt = false } = {}) {
      const given = messages.reduce((sum, { content }) => sum + content.length, 0);
      const scope = environment({ ...specialTokens, messages, add_generation_prompt: addGenerationPrompt });
      try {
        const interpreter = new BoundedInterpreter(scope, OUTPUT_LIMIT + given);
        return String(interpreter.run(template.parsed).value);
      } catch (error) {
        throw failure(error);
      }
    },
  };
}

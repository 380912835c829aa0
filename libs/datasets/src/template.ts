import { LowrankError, type ChatMessage } from '@lowrank/contracts';
import { createHash } from 'node:crypto';
import { Environment, Interpreter, Template, type TemplateValue } from './huggingface';

const TIME_LIMIT_MS = 1000;
const OUTPUT_LIMIT = 1 << 20;
const TEMPLATE_LIMIT = 256 << 10;
/** Loops of templates run over messages, of which there are at most 1,000. */
const RANGE_LIMIT = 10_000;
/** The parser looks at every stretch of white space once per character of it. */
const SPACE_LIMIT = 1000;

export interface RenderOptions {
  /** End with what comes before an answer of the assistant. */
  addGenerationPrompt?: boolean;
  /** What the assistant may call; templates see none otherwise. */
  tools?: readonly object[];
}

export interface ChatTemplate {
  /** Throws LowrankError base_model_invalid when the template fails, takes over 1 s or writes 1 MiB more than it was given. */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
  /** SHA-256 of the template's text. */
  sha256: string;
}

/**
 * Jinja's interpreter, stopped when its time is over or when a value grows beyond what a conversation needs. Every node of a template
 * is evaluated here, and no node does more work than its operands are large.
 */
class BoundedInterpreter extends Interpreter {
  private readonly deadline = performance.now() + TIME_LIMIT_MS;
  /** Sizes of lists and objects that cannot change any more. */
  private readonly sizes = new WeakMap<TemplateValue, number>();
  /** What the value that is being measured may still hold. */
  private room = 0;

  constructor(
    scope: Environment,
    private readonly sizeLimit: number,
  ) {
    super(scope);
  }

  override evaluate(statement: unknown, scope: Environment): TemplateValue {
    if (performance.now() > this.deadline) throw new Error(`it takes longer than ${TIME_LIMIT_MS} ms`);
    const result = super.evaluate(statement, scope);
    this.room = this.sizeLimit;
    this.measure(result);
    return result;
  }

  /**
   * Characters and members of a value, all the way down. A part that is there twice counts twice: a list that holds the same list
   * twice, and so on, is small in memory but takes 2^depth steps to write out.
   */
  private measure(of: TemplateValue): number {
    const { value } = of;
    if (!isContainer(of)) return this.take(typeof value === 'string' ? value.length : 1);
    const known = this.sizes.get(of);
    if (known !== undefined) return this.take(known);
    let size = this.take(1);
    // Namespaces are the only values that a template can change.
    let fixed = of.type !== 'NamespaceValue';
    for (const part of (value as unknown[] | Map<unknown, unknown>).values() as Iterable<TemplateValue>) {
      size += this.measure(part);
      fixed &&= !isContainer(part) || this.sizes.has(part);
    }
    if (fixed) this.sizes.set(of, size);
    return size;
  }

  private take(size: number): number {
    this.room -= size;
    if (this.room < 0) throw new Error(`it makes more than ${this.sizeLimit} characters`);
    return size;
  }
}

const isContainer = ({ value }: TemplateValue): boolean => Array.isArray(value) || value instanceof Map;

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

/** Characters that a template is given to write; tools and calls as the JSON that most of it writes. */
const lengthOf = (messages: readonly ChatMessage[], tools: readonly object[] | undefined): number =>
  messages.reduce(
    (sum, { content = '', reasoning_content: thoughts = '', tool_calls: calls }) =>
      sum + content.length + thoughts.length + (calls === undefined ? 0 : JSON.stringify(calls).length),
    tools === undefined ? 0 : JSON.stringify(tools).length,
  );

/**
 * A model's own chat template. Jinja without access to anything but the messages, the tools and the special tokens; no clock, so that the
 * same messages always give the same text.
 */
export function compileTemplate(source: string, specialTokens: Record<string, string>): ChatTemplate {
  if (source.length > TEMPLATE_LIMIT)
    throw new LowrankError(
      'base_model_invalid',
      `the chat template has more than ${TEMPLATE_LIMIT} characters`,
    );
  if (source.split(/\S+/).some(({ length }) => length > SPACE_LIMIT))
    throw new LowrankError(
      'base_model_invalid',
      `the chat template has more than ${SPACE_LIMIT} spaces in a row`,
    );
  let template: Template;
  try {
    template = new Template(source);
  } catch (error) {
    throw failure(error);
  }
  return {
    sha256: createHash('sha256').update(source).digest('hex'),
    render(messages, { addGenerationPrompt = false, tools } = {}) {
      try {
        const given = lengthOf(messages, tools);
        // As transformers has it: what is not given is none, not undefined.
        const scope = environment({
          ...specialTokens,
          ...{ messages, tools: tools ?? null, documents: null },
          add_generation_prompt: addGenerationPrompt,
        });
        const interpreter = new BoundedInterpreter(scope, OUTPUT_LIMIT + given);
        return String(interpreter.run(template.parsed).value);
      } catch (error) {
        throw failure(error);
      }
    },
  };
}

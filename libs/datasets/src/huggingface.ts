import { createRequire } from 'node:module';

// Both packages have CommonJS entries, but their types are of ES modules and import each other without extensions, which TypeScript
// does not follow here. So what is used of them is declared below.
const load = createRequire(__filename);

/** A parsed template; `parsed` is its program. */
export interface Template {
  parsed: unknown;
}
/** Variables by name. */
export interface Environment {
  set(name: string, value: unknown): unknown;
}
/** A value of the language; `value` holds what it wraps. */
export interface TemplateValue {
  type: string;
  value: unknown;
}
export interface Interpreter {
  run(program: unknown): TemplateValue;
  /** Evaluates one node: every node of a program passes through here. */
  evaluate(statement: unknown, environment: Environment): TemplateValue;
}

export const { Environment, Interpreter, Template } = load('@huggingface/jinja') as {
  Environment: new () => Environment;
  Interpreter: new (environment: Environment) => Interpreter;
  Template: new (source: string) => Template;
};

export interface Tokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  decode(
    ids: number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(): Map<string, number>;
}

export const { Tokenizer } = load('@huggingface/tokenizers') as {
  Tokenizer: new (tokenizer: object, config: object) => Tokenizer;
};

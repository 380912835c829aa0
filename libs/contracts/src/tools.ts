import { z } from 'zod';

/* Functions that an answer may call, as OpenAI's chat completions have them. */

const mostTools = 128;
const mostParameters = 65_536;
const functionName = z
  .string()
  .regex(/^[a-zA-Z0-9_-]{1,64}$/, 'must be of letters, digits, _ and -, 64 at most');

export const toolSchema = z.strictObject({
  type: z.literal('function'),
  function: z.strictObject({
    name: functionName,
    description: z.string().max(10_000).optional(),
    /** JSON schema of its arguments; left out: it has none. */
    parameters: z
      .record(z.string(), z.unknown())
      .refine(
        (schema) => JSON.stringify(schema).length <= mostParameters,
        `must have ${mostParameters} characters at most`,
      )
      .optional(),
    /** Has no effect: arguments of a call that has to be made always are as the schema says. */
    strict: z.boolean().nullable().optional(),
  }),
});
export type Tool = z.output<typeof toolSchema>;

export const toolsSchema = z
  .array(toolSchema)
  .max(mostTools)
  .refine((tools) => new Set(tools.map((tool) => tool.function.name)).size === tools.length, {
    message: 'must have names of their own',
  });

export const toolChoiceSchema = z.union([
  z.enum(['none', 'auto', 'required']),
  z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: functionName }) }),
]);
export type ToolChoice = z.output<typeof toolChoiceSchema>;

/** Whether a text is a JSON object. */
function isObjectText(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** A call of an answer before. */
export const messageCallSchema = z.strictObject({
  id: z.string().max(256),
  type: z.literal('function'),
  function: z.strictObject({
    name: functionName,
    arguments: z.string().refine(isObjectText, 'must be a JSON object, as text'),
  }),
});

/** A call of an answer. `arguments` is JSON unless the answer was cut off. */
export const toolCallSchema = z.object({
  id: z.string(),
  type: z.literal('function'),
  function: z.object({ name: z.string(), arguments: z.string() }),
});
export type AnsweredCall = z.infer<typeof toolCallSchema>;

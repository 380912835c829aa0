import { applyDecorators } from '@nestjs/common';
import { RouteSchema } from '@nestjs/platform-fastify';
import { type ZodDto, ZodResponse } from 'nestjs-zod';
import { type $ZodType, type $ZodTypes } from 'zod/v4/core';
import { type z } from 'zod';

type AnswersWith<Schema extends z.ZodType> = (
  target: object,
  key: string | symbol,
  method: Pick<
    TypedPropertyDescriptor<(...args: never[]) => z.input<Schema> | Promise<z.input<Schema>>>,
    'value'
  >,
) => void;

/** What a route answers with: for the compiler, for the OpenAPI description, and for Fastify, which writes it by `answerWriter`. */
export const Answer = <Schema extends z.ZodType>(answer: {
  status: number;
  type: ZodDto<Schema, false>;
  description: string;
}): AnswersWith<Schema> =>
  applyDecorators(ZodResponse(answer), RouteSchema({ response: { [answer.status]: answer.type.schema } }));

/**
 * Fastify's serializer of a route's answers: JSON of what the schema names, with the schema's defaults where something is missing, and
 * nothing else, so that no inner field gets out. What the values are is for the compiler to say, and for the tests, which parse every
 * answer: to validate them again takes a tenth of a request's time and more.
 */
export function answerWriter({ schema }: { schema: unknown }): (answer: unknown) => string {
  const copy = copierOf(schema as $ZodType) ?? ((value: unknown) => value);
  return (answer) => JSON.stringify(copy(answer));
}

type Copy = (value: unknown) => unknown;

/** Copies what a schema names; null: all of it, as there is nothing to leave out. What is rare is for zod to copy. */
function copierOf(schema: $ZodType): Copy | null {
  const { def } = (schema as $ZodTypes)._zod;
  switch (def.type) {
    case 'object':
      return objectCopier(Object.entries(def.shape));
    case 'array': {
      const copy = copierOf(def.element);
      return copy && ((value) => (value as unknown[]).map((element) => copy(element)));
    }
    case 'record': {
      const copy = copierOf(def.valueType);
      return copy && ((value) => mapped(value as Record<string, unknown>, copy));
    }
    case 'union':
      return unionCopier(schema, def.options, 'discriminator' in def ? String(def.discriminator) : null);
    case 'nullable':
    case 'optional': {
      const copy = copierOf(def.innerType);
      return copy && ((value) => (value === null || value === undefined ? value : copy(value)));
    }
    case 'default':
    case 'prefault': {
      const copy = copierOf(def.innerType) ?? ((value: unknown) => value);
      return (value) => (value === undefined ? parsed(schema, undefined) : copy(value));
    }
    case 'pipe':
      // What is answered has been through the pipe already. What a function at its end makes of it is for zod to say.
      if (def.out._zod.def.type === 'transform') return (value) => parsed(schema, value);
      return copierOf(def.out);
    case 'string':
    case 'number':
    case 'boolean':
    case 'enum':
    case 'literal':
    case 'unknown':
      return null;
    default:
      return (value) => parsed(schema, value);
  }
}

const parsed = (schema: $ZodType, value: unknown): unknown => (schema as z.ZodType).parse(value);

/** Of plain values there is nothing to leave out; which of several objects it is, their discriminator says, and otherwise zod. */
function unionCopier(
  schema: $ZodType,
  options: readonly $ZodType[],
  discriminator: string | null,
): Copy | null {
  if (options.every((option) => copierOf(option) === null)) return null;
  const copiers = new Map<unknown, Copy>();
  for (const option of discriminator === null ? [] : options) {
    const { def } = (option as $ZodTypes)._zod;
    const name =
      def.type === 'object' ? (def.shape[discriminator ?? ''] as $ZodTypes | undefined)?._zod.def : undefined;
    const copy = copierOf(option);
    if (name?.type === 'literal' && copy !== null) for (const value of name.values) copiers.set(value, copy);
  }
  return (value) => {
    const copy = copiers.get((value as Record<string, unknown>)[discriminator ?? '']);
    return copy === undefined ? parsed(schema, value) : copy(value);
  };
}

const mapped = (from: Record<string, unknown>, copy: Copy): Record<string, unknown> =>
  Object.fromEntries(Object.entries(from).map(([name, value]) => [name, copy(value)]));

function objectCopier(shape: [string, $ZodType][]): Copy {
  const fields = shape.map(([name, schema]) => ({ name, copy: copierOf(schema) }));
  return (value) => {
    const from = value as Record<string, unknown>;
    const to: Record<string, unknown> = {};
    for (const { name, copy } of fields) to[name] = copy === null ? from[name] : copy(from[name]);
    return to;
  };
}

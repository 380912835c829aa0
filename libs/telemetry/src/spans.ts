import {
  type Attributes,
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TimeInput,
  trace,
} from '@opentelemetry/api';

export { type Attributes };

/*
 * Spans of Lowrank's own work. Without startTracing all of this does nothing and costs next to nothing. Between processes a span is
 * named by its W3C traceparent, https://www.w3.org/TR/trace-context/.
 */
const kinds = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
};

export interface SpannedOptions {
  kind?: keyof typeof kinds;
  attributes?: Attributes;
  /** Traceparent of the parent; without it the span that is active. Not null: the beginning of a trace. */
  parent?: string | null;
  startTime?: TimeInput;
}

const tracer = () => trace.getTracer('lowrank');

/** The context of a span of another process, by its traceparent; a new trace where that is null or no traceparent. */
export const contextOf = (traceparent: string | null): Context =>
  traceparent === null ? ROOT_CONTEXT : propagation.extract(ROOT_CONTEXT, { traceparent });

/** Traceparent of the active span; null when nothing is traced. */
export function traceparentNow(): string | null {
  const carrier: { traceparent?: string } = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent ?? null;
}

/** Id of the active trace, 32 hexadecimal digits; null when nothing is traced. */
export const traceIdNow = (): string | null => trace.getActiveSpan()?.spanContext().traceId ?? null;

/** A span that the caller ends. It is not active. */
export function beginSpan(
  name: string,
  { kind = 'internal', attributes, parent, startTime }: SpannedOptions = {},
): Span {
  const under = parent === undefined ? context.active() : contextOf(parent);
  return tracer().startSpan(name, { kind: kinds[kind], attributes, startTime }, under);
}

/** Runs `work` in a span of its own, which is active meanwhile and bears the error that `work` throws. */
export async function spanned<T>(
  name: string,
  work: (span: Span) => Promise<T>,
  options: SpannedOptions = {},
): Promise<T> {
  const span = beginSpan(name, options);
  const under = options.parent === undefined ? context.active() : contextOf(options.parent);
  try {
    return await context.with(trace.setSpan(under, span), () => work(span));
  } catch (error) {
    span.recordException(error instanceof Error ? error : String(error));
    span.setStatus({
      code: SpanStatusCode.ERROR,
      message: error instanceof Error ? error.message : String(error),
    });
    throw error;
  } finally {
    span.end();
  }
}

import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';

export interface Tracing {
  /** Sends what has not been sent, for no longer than two seconds, and stops. */
  stop(): Promise<void>;
}

const lastSendMs = 2000;

let isOn = false;

/** Whether spans of this process go anywhere; where they do not, what is done often need not make any. */
export const isTracing = (): boolean => isOn;

/**
 * Has the spans of this process sent to the collector that the environment names: OTEL_EXPORTER_OTLP_ENDPOINT or
 * OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, with the other OTEL_EXPORTER_OTLP_ variables as the exporter reads them. Without one, and without
 * `processor`, nothing is traced. OTEL_TRACES_SAMPLER_ARG is the share of traces that are kept, 1 unless set; whether a trace goes on is
 * for its beginning to say.
 */
export function startTracing(
  service: 'lowrank-api' | 'lowrank-worker' | 'lowrank-trainer',
  { env = process.env, processor }: { env?: NodeJS.ProcessEnv; processor?: SpanProcessor } = {},
): Tracing {
  const isWanted = env.OTEL_EXPORTER_OTLP_ENDPOINT || env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
  if (!isWanted && !processor) return { stop: async () => {} };
  const share = Number(env.OTEL_TRACES_SAMPLER_ARG || 1);
  const provider = new TracerProvider({
    resource: defaultResource().merge(resourceFromAttributes({ 'service.name': service })),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(share) }),
    spanProcessors: [processor ?? new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
  });
  trace.setGlobalTracerProvider(provider);
  isOn = true;
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  return {
    stop: async () => {
      const late = new Promise((resolve) => setTimeout(resolve, lastSendMs).unref());
      // A collector that is away keeps nobody from leaving.
      await Promise.race([provider.shutdown().catch(() => undefined), late]);
      isOn = false;
      trace.disable();
      context.disable();
      propagation.disable();
    },
  };
}

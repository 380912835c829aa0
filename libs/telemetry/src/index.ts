export { logOptions, type LogOptions, withoutSecrets } from './logging';
export {
  type Attributes,
  beginSpan,
  contextOf,
  spanned,
  type SpannedOptions,
  traceIdNow,
  traceparentNow,
} from './spans';
export { isTracing, startTracing, type Tracing } from './tracing';

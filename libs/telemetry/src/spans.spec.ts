import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace';
import { spanned, traceIdNow, traceparentNow } from './spans';
import { startTracing, type Tracing } from './tracing';

const outside = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('spans', () => {
  const exporter = new InMemorySpanExporter();
  let tracing: Tracing;
  beforeAll(() => {
    tracing = startTracing('lowrank-worker', { env: {}, processor: new SimpleSpanProcessor({ exporter }) });
  });
  beforeEach(() => exporter.reset());
  afterAll(() => tracing.stop());

  it('lie within one another, across awaits, and go on from other processes', async () => {
    const answer = await spanned(
      'outer',
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        expect(traceIdNow()).toBe(outside.split('-')[1]);
        return spanned('inner', async () => traceparentNow());
      },
      { parent: outside, kind: 'consumer', attributes: { 'lowrank.job.id': 'job_x' } },
    );
    const [inner, outer] = exporter.getFinishedSpans();
    expect(outer?.parentSpanContext?.spanId).toBe(outside.split('-')[2]);
    expect(inner?.parentSpanContext?.spanId).toBe(outer?.spanContext().spanId);
    expect(answer).toBe(`00-${outside.split('-')[1]}-${inner?.spanContext().spanId}-01`);
    expect(outer?.attributes).toEqual({ 'lowrank.job.id': 'job_x' });
    expect(outer?.resource.attributes['service.name']).toBe('lowrank-worker');
    expect(traceparentNow()).toBeNull();
  });

  it('bear the error of their work, and pass it on', async () => {
    const error = new Error('disk is full');
    await expect(spanned('fails', () => Promise.reject(error))).rejects.toBe(error);
    const [span] = exporter.getFinishedSpans();
    expect(span?.status).toMatchObject({ code: 2, message: 'disk is full' });
    expect(span?.events.map(({ name }) => name)).toEqual(['exception']);
  });

  it.each([null, '', 'nonsense', '00-0-0-00'])(
    'begin a trace of their own where the parent is %j',
    async (parent) => {
      await spanned('root', async () => undefined, { parent });
      expect(exporter.getFinishedSpans()[0]?.parentSpanContext).toBeUndefined();
    },
  );
});

it('does nothing unless a collector is named', async () => {
  const tracing = startTracing('lowrank-api', { env: {} });
  expect(await spanned('quiet', async () => [traceparentNow(), traceIdNow()])).toEqual([null, null]);
  await tracing.stop();
});

import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace';
import { pino } from 'pino';
import { logOptions, withoutSecrets } from './logging';
import { spanned, traceIdNow } from './spans';
import { startTracing } from './tracing';

const key = `lrk_${'k'.repeat(43)}abcdef`;

describe('withoutSecrets', () => {
  it.each([
    [`key ${key}.`, 'key lrk_***.'],
    [`"authorization":"Bearer ${'t'.repeat(20)}"`, '"authorization":"***"'],
    ['basic dXNlcjpwYXNz, next', 'basic ***, next'],
    ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'whsec_***'],
    ['connect postgres://user:pa55@db:5432/x?a=b', 'connect postgres://user:***@db:5432/x?a=b'],
    ['redis://:pa55@cache:6379', 'redis://:***@cache:6379'],
    ['postgres://u:pa@5w0rd@db/x', 'postgres://u:***@db/x'],
    [`{"a":"http://h:80","mail":"a@b"}`, `{"a":"http://h:80","mail":"a@b"}`],
    [`hf_${'x'.repeat(34)}`, 'hf_***'],
    ['GET /x?X-Amz-Signature=abc&password=hush&page=2', 'GET /x?X-Amz-Signature=***&password=***&page=2'],
    ['{"sentinelPassword":"hu\\"sh","tokens":5}', '{"sentinelPassword":"***","tokens":5}'],
    ['as in a URL: quo%22ted-secret', 'as in a URL: ***'],
    ['s3 secret very-secret-value is wrong', 's3 secret *** is wrong'],
    ['{"a":"quo\\"ted-secret"}', '{"a":"***"}'],
    [
      'http://127.0.0.1:7380/api/v1/jobs/job_x lrk_ 12:30:59',
      'http://127.0.0.1:7380/api/v1/jobs/job_x lrk_ 12:30:59',
    ],
  ])('makes %j %j', (line, clean) => {
    expect(withoutSecrets(line, ['very-secret-value', 'quo"ted-secret', 'x'])).toBe(clean);
  });
});

describe('logOptions', () => {
  function logger() {
    const lines: string[] = [];
    const options = logOptions({
      service: 'lowrank-worker',
      level: 'info',
      secrets: ['hunter2-hunter2', null],
      pretty: false,
    });
    return { lines, log: pino(options, { write: (line: string) => void lines.push(line) }) };
  }

  it('writes JSON lines with what they are about, and no secret wherever it stands', () => {
    const { lines, log } = logger();
    log.info({ jobId: 'job_x', attempt: 2, deep: { headers: [`Bearer ${key}`] } }, 'with hunter2-hunter2');
    log.error(new Error(`refused postgres://u:hunter3@db/x for ${key}`));
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      service: 'lowrank-worker',
      level: 30,
      jobId: 'job_x',
      attempt: 2,
      msg: 'with ***',
    });
    expect(JSON.parse(lines[1] ?? '')).toMatchObject({
      err: { message: 'refused postgres://u:***@db/x for lrk_***' },
    });
    expect(lines.join('')).not.toMatch(/hunter|kkk/);
  });

  it('says which trace a line belongs to', async () => {
    const processor = new SimpleSpanProcessor({ exporter: new InMemorySpanExporter() });
    const tracing = startTracing('lowrank-worker', { env: {}, processor });
    const { lines, log } = logger();
    const traceId = await spanned('work', async () => {
      log.info('inside');
      return traceIdNow();
    });
    log.info('outside');
    await tracing.stop();
    expect(lines.map((line) => JSON.parse(line).traceId)).toEqual([traceId, undefined]);
  });
});

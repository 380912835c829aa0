import multipart from '@fastify/multipart';
import { type Config } from '@lowrank/config';
import { LowrankError, openAiErrorOf } from '@lowrank/contracts';
import { authenticateSession } from '@lowrank/domain';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { Logger, PinoLogger } from 'nestjs-pino';
import { AppModule } from './app.module';
import { requirePrincipal } from './auth/authentication';
import { limitsOf } from './auth/bursts';
import { KeyCache } from './auth/key-cache';
import { keepToTeams, ofRequests } from './auth/team-context';
import { serveDashboard } from './dashboard/serve-dashboard';
import { type Dependencies } from './dependencies';
import { answerWriter } from './http/answers';
import { compressAnswer } from './http/compression';
import { toPublicError } from './http/errors';
import { logRequests } from './http/logging';
import { serveDocs } from './http/openapi';
import { requestIdOf } from './http/request-id';
import { Staging } from './http/staging';
import { traceRequests } from './http/tracing';
import { measureRequests } from './metrics/http-metrics';
import { MetricsController } from './metrics/metrics.controller';
import { isOpenAiUrl } from './openai/errors';
import { StoredDataPlanner } from './preflight/data-planner';
import { LateEstimates } from './preflight/late-estimates';
import { StoredLengths } from './preflight/stored-lengths';

/** Of JSON bodies; uploads have their own limit. A recipe with every target named stays far below. */
const bodyBytes = 1024 * 1024;
/** Names, ids and file names are at most 200 characters; percent-encoding may triple them. */
const pathParameterCharacters = 600;

/** Fastify as the API needs it. Apart from `createApp` so that tests can watch the routes being registered. */
export function createAdapter({ trustedProxies }: Pick<Config, 'trustedProxies'>): FastifyAdapter {
  const adapter = new FastifyAdapter({
    // Whoever else says on whose behalf they ask is not believed.
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
    bodyLimit: bodyBytes,
    genReqId: requestIdOf,
    // Event streams stay open for hours: closing must not wait for their readers.
    forceCloseConnections: true,
    routerOptions: { maxParamLength: pathParameterCharacters },
    // What is wrong before any route is found, such as a path that cannot be decoded.
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      const known = toPublicError(error);
      const body = isOpenAiUrl(request.url) ? openAiErrorOf(known) : known.toBody(request.id);
      void reply
        .status(error.statusCode ?? 400)
        .header('x-request-id', request.id)
        .send(body);
    },
  });
  adapter.getInstance().setSerializerCompiler(answerWriter);
  return adapter;
}

/** OpenAI's Python client announces JSON where it sends no body; a route that needs one refuses that by itself. */
function takeNothingAsJson(fastify: FastifyInstance): void {
  const parse = fastify.getDefaultJsonParser('error', 'error');
  fastify.removeContentTypeParser('application/json');
  fastify.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) =>
    body === '' ? done(null) : parse(request, String(body), done),
  );
}

const partRoute = '/api/v1/uploads/:id/parts/:number';

/** Parts of uploads are bytes, which are read by their route as they come; no other route takes any. */
function takePartsAsBytes(fastify: FastifyInstance): void {
  fastify.addContentTypeParser('application/octet-stream', (request, body, done) => {
    if (request.routeOptions.url === partRoute) return done(null, body);
    done(new LowrankError('unsupported_media_type', 'This route takes no application/octet-stream.'));
  });
}

/** The application on the given ports, ready to listen or to have requests injected. */
export async function createApp(
  dependencies: Dependencies,
  adapter = createAdapter(dependencies.config),
): Promise<NestFastifyApplication> {
  const closing = new AbortController();
  const { config, store, blobs } = dependencies;
  const unitOfWork = ofRequests(dependencies.ports.unitOfWork);
  const planner = new StoredDataPlanner({
    blobs,
    lengths: new StoredLengths(store),
    staging: new Staging(config),
    signal: closing.signal,
    onCounted: (baseModel, dataset) => void late.complete(baseModel, dataset),
  });
  const late = new LateEstimates({ ...dependencies.ports, planner }, closing.signal);
  const whole = AppModule.of({ ...dependencies, ports: { ...dependencies.ports, unitOfWork, planner } });
  const app = await NestFactory.create<NestFastifyApplication>(whole, adapter, {
    // Nest tells of every module and route at start; only what is wrong is worth a line.
    logger: ['error', 'warn'],
    abortOnError: false,
    // Fastify's own parsers are stricter: JSON only, and no prototypes in it.
    bodyParser: false,
  });
  await app.register(multipart, { limits: { files: 1, fields: 8, fieldSize: 1024, parts: 16 } });
  const fastify = app.getHttpAdapter().getInstance();
  // JSON and multipart are all there is; Fastify would take plain text too.
  fastify.removeContentTypeParser('text/plain');
  takeNothingAsJson(fastify);
  takePartsAsBytes(fastify);
  fastify.decorateRequest('principal', null);
  fastify.addHook('onClose', async () => closing.abort());
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    done();
  });
  fastify.addHook('onSend', compressAnswer);
  traceRequests(fastify);
  serveDocs(app);
  await app.init();
  app.useLogger(app.get(Logger));
  // Before the keys, so that refused requests are logged too.
  logRequests(fastify, PinoLogger.root);
  // Before the keys too: pages are for everybody, what they show is not.
  await serveDashboard(fastify, config.dashboardDir);
  const keys = new KeyCache(unitOfWork, () => dependencies.ports.clock.now());
  const sessions = (secret: string) =>
    authenticateSession(unitOfWork, secret, dependencies.ports.clock.now());
  const limits = limitsOf(config.requestsPerSecond);
  fastify.addHook('onRequest', requirePrincipal(keys, sessions, config.metricsToken, limits));
  keepToTeams(fastify);
  measureRequests(fastify, app.get(MetricsController).registry);
  await fastify.ready();
  return app;
}

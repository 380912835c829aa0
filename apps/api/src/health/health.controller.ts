import { Controller, Get, Inject, Logger, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { type ObjectStore, type Ports } from '@lowrank/domain';
import { type FastifyReply } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { PORTS, STORE } from '../dependencies';
import { Answer } from '../http/answers';

const checkSchema = z.enum(['ok', 'failing']);
const checksSchema = z.object({ database: checkSchema, store: checkSchema });
type Checks = z.infer<typeof checksSchema>;
class HealthDto extends createZodDto(z.object({ status: checkSchema, checks: checksSchema })) {}

const limitMs = 3000;
/** The route is open, and looking at the store may cost a request to it: strangers get at most one look a second. */
const freshMs = 1000;

@ApiTags('Health')
@Controller('health')
export class HealthController {
  private readonly logger = new Logger(HealthController.name);
  private last: { at: number; checks: Promise<Checks> } | null = null;

  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(STORE) private readonly store: ObjectStore,
  ) {}

  @Get()
  @ApiOperation({ summary: 'Whether database and object store answer. Needs no API key.', security: [] })
  @Answer({ status: 200, type: HealthDto, description: 'All is well; 503 with the same body when not.' })
  async check(@Res({ passthrough: true }) reply: FastifyReply) {
    const now = performance.now();
    if (this.last === null || now - this.last.at > freshMs) this.last = { at: now, checks: this.look() };
    const checks = await this.last.checks;
    const isWell = checks.database === 'ok' && checks.store === 'ok';
    reply.status(isWell ? 200 : 503);
    return { status: isWell ? ('ok' as const) : ('failing' as const), checks };
  }

  private async look(): Promise<Checks> {
    const [database, store] = await Promise.all([
      this.answers('database', () => this.ports.unitOfWork.ping()),
      this.answers('store', () => this.store.probe()),
    ]);
    return { database, store };
  }

  /** The reason goes to the log only: the route is open to strangers. */
  private async answers(what: string, probe: () => Promise<unknown>): Promise<'ok' | 'failing'> {
    const late = new AbortController();
    try {
      const timeout = wait(limitMs, undefined, { signal: late.signal, ref: false }).then(() => {
        throw new Error(`no answer within ${limitMs} ms`);
      });
      await Promise.race([probe(), timeout]);
      return 'ok';
    } catch (error) {
      this.logger.error({ err: error }, `${what} is failing`);
      return 'failing';
    } finally {
      late.abort();
    }
  }
}

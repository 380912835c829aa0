import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Ports } from '@lowrank/domain';
import { type FastifyReply } from 'fastify';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { Action } from '../auth/action';
import { PORTS } from '../dependencies';
import { metricsRoute } from './route';
import { measurePlatform } from './platform-metrics';

@ApiTags('Metrics')
@Controller()
export class MetricsController {
  readonly registry = new Registry();

  constructor(@Inject(PORTS) ports: Ports) {
    collectDefaultMetrics({ register: this.registry });
    measurePlatform(ports, this.registry);
  }

  @Get(metricsRoute)
  @Action('metrics.read')
  @ApiOperation({
    summary:
      'Metrics for Prometheus, of all teams together. Admin keys, and the token LOWRANK_METRICS_TOKEN.',
  })
  @ApiOkResponse({
    description: 'The text format of Prometheus.',
    content: { 'text/plain': { schema: { type: 'string' } } },
  })
  async metrics(@Res() reply: FastifyReply): Promise<void> {
    const body = await this.registry.metrics();
    void reply
      .header('content-type', this.registry.contentType)
      .header('cache-control', 'no-store')
      .send(body);
  }
}

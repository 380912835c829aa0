import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { overviewSchema, type TeamOverview } from '@lowrank/contracts';
import { type Ports, teamOverview } from '@lowrank/domain';
import { type FastifyReply } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { Readable } from 'node:stream';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { Shutdown } from '../http/shutdown';
import { followOverview } from './overview-stream';
import { SharedLooks } from './shared-looks';

/** Streams of a team share what one has seen for so long: less than the time between two looks of a stream, each of which is to see something new. */
const shareMs = 1900;

class OverviewDto extends createZodDto(overviewSchema) {}

@ApiTags('Overview')
@Controller('api/v1/overview')
export class OverviewController {
  private readonly looks: SharedLooks<TeamOverview>;

  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly shutdown: Shutdown,
  ) {
    this.looks = new SharedLooks(async (teamId) => {
      // Whoever reads on is the socket, which knows nothing of the request.
      const unitOfWork = ports.unitOfWork.forTeam(teamId);
      return overviewSchema.parse(await teamOverview({ ...ports, unitOfWork }, teamId));
    }, shareMs);
  }

  @Get()
  @Action('overview.read')
  @ApiOperation({
    summary: "How your team's work stands: its queue, what runs with its last losses, failures, and use.",
  })
  @Answer({ status: 200, type: OverviewDto, description: 'The overview as of now.' })
  get(@TeamId() teamId: string) {
    return teamOverview(this.ports, teamId);
  }

  @Get('stream')
  @Action('overview.read')
  @ApiOperation({
    summary: 'Follow the overview: a server-sent event `overview` now and whenever it has changed.',
    description: 'It is looked at every two seconds, and has no end.',
  })
  @ApiOkResponse({
    description: 'Data of each event: the JSON of the overview.',
    content: { 'text/event-stream': { schema: { type: 'string' } } },
  })
  stream(@TeamId() teamId: string, @Res() reply: FastifyReply): void {
    const left = new AbortController();
    const signal = AbortSignal.any([left.signal, this.shutdown.signal]);
    reply.raw.once('close', () => left.abort());
    const look = () => this.looks.of(teamId);
    void reply
      .header('content-type', 'text/event-stream; charset=utf-8')
      .header('cache-control', 'no-store')
      .header('x-accel-buffering', 'no')
      .send(Readable.from(followOverview(look, { signal })));
  }
}

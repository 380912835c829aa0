import { Controller, Delete, Get, HttpCode, Inject, Param, Req, Res } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { idSchema, ownSessionSchema } from '@lowrank/contracts';
import { endOtherSessions, endOwnSession, listOwnSessions, type Ports } from '@lowrank/domain';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { sessionSecretOf, setSessionCookie } from '../session/cookie';

class OwnSessionListDto extends createZodDto(z.object({ data: z.array(ownSessionSchema) })) {}
class OwnSessionParams extends createZodDto(z.object({ id: idSchema('session') })) {}

/** For requests of a session: a key lists and ends none. */
@ApiTags('Me')
@Controller('api/v1/me/sessions')
export class OwnSessionsController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Get()
  @Action('own-sessions.read')
  @ApiOperation({
    summary: 'List your sessions, the newest first.',
    description: 'Those of your account, in whatever teams; of a session of an API key, those of the key.',
  })
  @Answer({ status: 200, type: OwnSessionListDto, description: 'Your sessions that are not over.' })
  async list(@Req() request: FastifyRequest) {
    return { data: await listOwnSessions(this.ports, sessionSecretOf(request)) };
  }

  @Delete()
  @Action('own-sessions.end')
  @HttpCode(204)
  @ApiOperation({ summary: 'End all of your sessions but the one that asks.' })
  @ApiNoContentResponse({ description: 'Ended.' })
  endOthers(@Req() request: FastifyRequest): Promise<void> {
    return endOtherSessions(this.ports, sessionSecretOf(request));
  }

  @Delete(':id')
  @Action('own-sessions.end')
  @HttpCode(204)
  @ApiOperation({ summary: 'End a session of yours: its next request is refused.' })
  @ApiNoContentResponse({ description: 'Ended.' })
  async end(
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Param() { id }: OwnSessionParams,
  ): Promise<void> {
    if (await endOwnSession(this.ports, sessionSecretOf(request), id)) setSessionCookie(request, reply, null);
  }
}

import { Body, Controller, Delete, Get, HttpCode, Inject, Post, Put, Req, Res } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  changePasswordSchema,
  chooseTeamSchema,
  sessionSchema,
  signInSchema,
  signInWithKeySchema,
} from '@lowrank/contracts';
import {
  changePassword,
  chooseTeam,
  type Ports,
  readSession,
  signIn,
  signInWithKey,
  signOut,
} from '@lowrank/domain';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { Action } from '../auth/action';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { Attempts } from './attempts';
import { originOf, sessionSecretOf, setSessionCookie } from './cookie';

class SignInDto extends createZodDto(signInSchema) {}
class SignInWithKeyDto extends createZodDto(signInWithKeySchema) {}
class ChooseTeamDto extends createZodDto(chooseTeamSchema) {}
class ChangePasswordDto extends createZodDto(changePasswordSchema) {}
class SessionDto extends createZodDto(sessionSchema) {}

@ApiTags('Session')
@Controller('api/v1/session')
export class SessionController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly attempts: Attempts,
  ) {}

  @Post()
  @Action('session.begin')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Sign in: begins a session, which a cookie carries on.',
    description:
      'Ten failures of an account, or fifty from an address, within a quarter of an hour are answered with 429.',
  })
  @Answer({ status: 200, type: SessionDto, description: 'Who you are, and your teams.' })
  async begin(
    @Body() body: SignInDto,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const who = { account: body.email, address: request.ip };
    const session = await this.attempts.guard(who, reply, () =>
      signIn(this.ports, body, { requestId: request.id, ...originOf(request) }),
    );
    setSessionCookie(request, reply, session);
    return session;
  }

  @Post('key')
  @Action('session.begin')
  @HttpCode(200)
  @ApiOperation({
    summary:
      'Sign in with an API key: begins a session on behalf of the key, so that a browser need not keep it.',
  })
  @Answer({ status: 200, type: SessionDto, description: 'The key and its team.' })
  async beginWithKey(
    @Body() { key }: SignInWithKeyDto,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const session = await signInWithKey(this.ports, key, { requestId: request.id, ...originOf(request) });
    setSessionCookie(request, reply, session);
    return session;
  }

  @Get()
  @Action('session.use')
  @ApiOperation({ summary: 'Who has signed in, their teams, and the one that requests are about.' })
  @Answer({ status: 200, type: SessionDto, description: 'The session.' })
  get(@Req() request: FastifyRequest) {
    return readSession(this.ports, sessionSecretOf(request));
  }

  @Put()
  @Action('session.use')
  @ApiOperation({ summary: 'Let the requests of this session be about another of your teams.' })
  @Answer({ status: 200, type: SessionDto, description: 'The session as it is now.' })
  choose(@Req() request: FastifyRequest, @Body() { team }: ChooseTeamDto) {
    return chooseTeam(this.ports, sessionSecretOf(request), team);
  }

  @Put('password')
  @Action('password.change')
  @HttpCode(204)
  @ApiOperation({ summary: 'Change your password, which ends your other sessions.' })
  @ApiNoContentResponse({ description: 'Changed.' })
  async changePassword(
    @Req() request: FastifyRequest,
    @Body() body: ChangePasswordDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    const secret = sessionSecretOf(request);
    const { user } = await readSession(this.ports, secret);
    const who = { account: user?.email ?? '', address: request.ip };
    await this.attempts.guard(who, reply, () => changePassword(this.ports, secret, body));
  }

  @Delete()
  @Action('session.use')
  @HttpCode(204)
  @ApiOperation({ summary: 'Sign out: ends the session.' })
  @ApiNoContentResponse({ description: 'Signed out.' })
  async end(@Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): Promise<void> {
    await signOut(this.ports, sessionSecretOf(request));
    setSessionCookie(request, reply, null);
  }
}

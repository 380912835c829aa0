import { Body, Controller, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { usePasswordResetSchema } from '@lowrank/contracts';
import { hashApiKeySecret, type Ports, usePasswordReset } from '@lowrank/domain';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { Action } from '../auth/action';
import { PORTS } from '../dependencies';
import { Attempts } from './attempts';

class UsePasswordResetDto extends createZodDto(usePasswordResetSchema) {}

@ApiTags('Session')
@Controller('api/v1/password-resets')
export class PasswordResetsController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly attempts: Attempts,
  ) {}

  @Post('use')
  @Action('password.reset')
  @HttpCode(204)
  @ApiOperation({
    summary: "Choose a password by an admin's token, which ends all of your sessions. Sign in next.",
  })
  @ApiNoContentResponse({ description: 'Chosen.' })
  async use(
    @Body() body: UsePasswordResetDto,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    const who = { account: hashApiKeySecret(body.token), address: request.ip };
    await this.attempts.guard(who, reply, () => usePasswordReset(this.ports, body, request.id));
  }
}

import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Req, Res } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  acceptInvitationSchema,
  createdInvitationSchema,
  createInvitationSchema,
  idSchema,
  invitationSchema,
  memberSchema,
  type Principal,
} from '@lowrank/contracts';
import { acceptInvitation, hashApiKeySecret, invite, type Ports, revokeInvitation } from '@lowrank/domain';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { Caller, TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { Attempts } from '../session/attempts';

class CreateInvitationDto extends createZodDto(createInvitationSchema) {}
class CreatedInvitationDto extends createZodDto(createdInvitationSchema) {}
class InvitationListDto extends createZodDto(z.object({ data: z.array(invitationSchema) })) {}
class InvitationParams extends createZodDto(z.object({ id: idSchema('invitation') })) {}
class AcceptInvitationDto extends createZodDto(acceptInvitationSchema) {}
class JoinedMemberDto extends createZodDto(memberSchema) {}

@ApiTags('Members')
@Controller('api/v1/invitations')
export class InvitationsController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly attempts: Attempts,
  ) {}

  @Post()
  @Action('members.write')
  @ApiOperation({ summary: 'Invite an address into your team. The token is shown this once; send it there.' })
  @Answer({ status: 201, type: CreatedInvitationDto, description: 'The invitation and its token.' })
  create(@Caller() caller: Principal, @Body() body: CreateInvitationDto) {
    return invite(this.ports, caller, body);
  }

  @Get()
  @Action('invitations.read')
  @ApiOperation({ summary: 'List invitations, accepted and expired ones too, newest first.' })
  @Answer({ status: 200, type: InvitationListDto, description: "All of the team's invitations." })
  async list(@TeamId() teamId: string) {
    return { data: await this.ports.unitOfWork.look(({ invitations }) => invitations.list(teamId)) };
  }

  @Delete(':id')
  @Action('members.write')
  @HttpCode(204)
  @ApiOperation({ summary: 'Revoke an invitation. Who came by it stays a member.' })
  @ApiNoContentResponse({ description: 'Revoked.' })
  revoke(@TeamId() teamId: string, @Param() { id }: InvitationParams): Promise<void> {
    return revokeInvitation(this.ports, teamId, id);
  }

  @Post('accept')
  @Action('invitations.accept')
  @ApiOperation({
    summary: 'Become a member by an invitation: with a new account, or the one that the address has.',
  })
  @Answer({ status: 201, type: JoinedMemberDto, description: 'You, as a member of the team. Sign in next.' })
  accept(
    @Body() body: AcceptInvitationDto,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const who = { account: hashApiKeySecret(body.token), address: request.ip };
    return this.attempts.guard(who, reply, () => acceptInvitation(this.ports, body, request.id));
  }
}

import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Patch, Post } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  changeMemberSchema,
  createdPasswordResetSchema,
  createServiceAccountSchema,
  idSchema,
  memberSchema,
  type Principal,
} from '@lowrank/contracts';
import {
  changeRole,
  createServiceAccount,
  makePasswordReset,
  type Ports,
  removeMember,
} from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { Caller, TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';

class MemberDto extends createZodDto(memberSchema) {}
class MemberListDto extends createZodDto(z.object({ data: z.array(memberSchema) })) {}
class MemberParams extends createZodDto(z.object({ id: idSchema('user') })) {}
class ChangeMemberDto extends createZodDto(changeMemberSchema) {}
class CreatedPasswordResetDto extends createZodDto(createdPasswordResetSchema) {}
class CreateServiceAccountDto extends createZodDto(createServiceAccountSchema) {}

@ApiTags('Members')
@Controller('api/v1')
export class MembersController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Get('members')
  @Action('members.read')
  @ApiOperation({ summary: 'Who is in your team, service accounts too, the longest first.' })
  @Answer({ status: 200, type: MemberListDto, description: 'All members.' })
  async list(@TeamId() teamId: string) {
    return { data: await this.ports.unitOfWork.look(({ members }) => members.list(teamId)) };
  }

  @Patch('members/:id')
  @Action('members.write')
  @ApiOperation({ summary: 'Give a member another role. The last owner stays one.' })
  @Answer({ status: 200, type: MemberDto, description: 'The member.' })
  change(@Caller() caller: Principal, @Param() { id }: MemberParams, @Body() { role }: ChangeMemberDto) {
    return changeRole(this.ports, caller, id, role);
  }

  @Delete('members/:id')
  @Action('members.write')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Remove a member or a service account, with their keys; within five seconds they are out.',
  })
  @ApiNoContentResponse({ description: 'Removed.' })
  remove(@Caller() caller: Principal, @Param() { id }: MemberParams): Promise<void> {
    return removeMember(this.ports, caller, id);
  }

  @Post('members/:id/password-reset')
  @Action('members.write')
  @ApiOperation({
    summary:
      'Let a member who has forgotten their password choose another. The token is shown this once; give it to them.',
    description:
      "It is good for a day. An account that is in other teams too is reset by the operator's team alone.",
  })
  @Answer({ status: 201, type: CreatedPasswordResetDto, description: 'The token.' })
  resetPassword(@Caller() caller: Principal, @Param() { id }: MemberParams) {
    return makePasswordReset(this.ports, caller, id);
  }

  @Post('service-accounts')
  @Action('members.write')
  @ApiOperation({ summary: 'Make a member that is a program: it has keys, and does not sign in.' })
  @Answer({ status: 201, type: MemberDto, description: 'The service account.' })
  createServiceAccount(@Caller() caller: Principal, @Body() body: CreateServiceAccountDto) {
    return createServiceAccount(this.ports, caller, body);
  }
}

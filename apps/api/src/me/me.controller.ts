import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  apiKeySchema,
  createdApiKeySchema,
  createOwnKeySchema,
  idSchema,
  type Principal,
  principalSchema,
} from '@lowrank/contracts';
import { createOwnKey, leaveTeam, listOwnKeys, type Ports, revokeOwnKey } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { Caller } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';

class PrincipalDto extends createZodDto(principalSchema) {}
class OwnKeyListDto extends createZodDto(z.object({ data: z.array(apiKeySchema) })) {}
class CreateOwnKeyDto extends createZodDto(createOwnKeySchema) {}
class CreatedOwnKeyDto extends createZodDto(createdApiKeySchema) {}
class OwnKeyParams extends createZodDto(z.object({ id: idSchema('apiKey') })) {}

@ApiTags('Me')
@Controller('api/v1/me')
export class MeController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Get()
  @Action('me.read')
  @ApiOperation({ summary: 'On whose behalf this request is answered, and what it may do.' })
  @Answer({ status: 200, type: PrincipalDto, description: 'Team, role, scopes and who asks.' })
  me(@Caller() principal: Principal) {
    return principal;
  }

  @Get('keys')
  @Action('own-keys.read')
  @ApiOperation({ summary: 'List your own API keys, revoked ones too.' })
  @Answer({ status: 200, type: OwnKeyListDto, description: 'Your keys in this team.' })
  async keys(@Caller() caller: Principal) {
    return { data: await listOwnKeys(this.ports, caller) };
  }

  @Post('keys')
  @Action('own-keys.write')
  @ApiOperation({
    summary: 'Make yourself an API key, which may do no more than you may. Its secret is shown this once.',
  })
  @Answer({ status: 201, type: CreatedOwnKeyDto, description: 'The key and its secret.' })
  makeKey(@Caller() caller: Principal, @Body() body: CreateOwnKeyDto) {
    return createOwnKey(this.ports, caller, body);
  }

  @Delete('keys/:id')
  @Action('own-keys.write')
  @HttpCode(204)
  @ApiOperation({ summary: 'Revoke a key of yours; it stops working within five seconds.' })
  @ApiNoContentResponse({ description: 'Revoked.' })
  revokeKey(@Caller() caller: Principal, @Param() { id }: OwnKeyParams): Promise<void> {
    return revokeOwnKey(this.ports, caller, id);
  }

  @Post('leave')
  @Action('team.leave')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Leave the team that this request is about: your keys there are revoked. The last owner stays.',
  })
  @ApiNoContentResponse({ description: 'You are in the team no more.' })
  leave(@Caller() caller: Principal): Promise<void> {
    return leaveTeam(this.ports, caller);
  }
}

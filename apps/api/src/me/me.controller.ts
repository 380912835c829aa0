import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Principal, principalSchema } from '@lowrank/contracts';
import { createZodDto } from 'nestjs-zod';
import { Action } from '../auth/action';
import { Caller } from '../auth/caller';
import { Answer } from '../http/answers';

class PrincipalDto extends createZodDto(principalSchema) {}

@ApiTags('API keys')
@Controller('api/v1/me')
export class MeController {
  @Get()
  @Action('me.read')
  @ApiOperation({ summary: 'On whose behalf this request is answered, and what it may do.' })
  @Answer({ status: 200, type: PrincipalDto, description: 'Team, role, scopes and who asks.' })
  me(@Caller() principal: Principal) {
    return principal;
  }
}

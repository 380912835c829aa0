import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  apiKeySchema,
  createApiKeySchema,
  createdApiKeySchema,
  idSchema,
  type Principal,
} from '@lowrank/contracts';
import { createApiKey, type Ports, revokeApiKey } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { Caller, TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';

class CreateApiKeyDto extends createZodDto(createApiKeySchema) {}
class CreatedApiKeyDto extends createZodDto(createdApiKeySchema) {}
class ApiKeyListDto extends createZodDto(z.object({ data: z.array(apiKeySchema) })) {}
class ApiKeyParams extends createZodDto(z.object({ id: idSchema('apiKey') })) {}

@ApiTags('API keys')
@Controller('api/v1/keys')
export class KeysController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Post()
  @Action('keys.write')
  @ApiOperation({ summary: 'Make an API key. Its secret is shown this once. Admin keys only.' })
  @Answer({ status: 201, type: CreatedApiKeyDto, description: 'The key and its secret.' })
  create(@Caller() caller: Principal, @Body() body: CreateApiKeyDto) {
    return createApiKey(this.ports, caller.teamId, body, caller);
  }

  @Get()
  @Action('keys.read')
  @ApiOperation({ summary: 'List API keys, revoked ones too. Admin keys only.' })
  @Answer({ status: 200, type: ApiKeyListDto, description: "All of the team's keys." })
  async list(@TeamId() teamId: string) {
    return { data: await this.ports.unitOfWork.look(({ apiKeys }) => apiKeys.list(teamId)) };
  }

  @Delete(':id')
  @Action('keys.write')
  @HttpCode(204)
  @ApiOperation({ summary: 'Revoke an API key; it stops working within five seconds. Admin keys only.' })
  @ApiNoContentResponse({ description: 'Revoked.' })
  revoke(@Caller() caller: Principal, @Param() { id }: ApiKeyParams): Promise<void> {
    return revokeApiKey(this.ports, caller, id);
  }
}

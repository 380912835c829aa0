import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { type ApiKey, apiKeySchema } from '@lowrank/contracts';
import { createZodDto } from 'nestjs-zod';
import { Caller } from '../auth/caller';
import { Answer } from '../http/answers';

class ApiKeyDto extends createZodDto(apiKeySchema) {}

@ApiTags('API keys')
@Controller('api/v1/me')
export class MeController {
  @Get()
  @ApiOperation({ summary: 'The API key that this request was made with.' })
  @Answer({ status: 200, type: ApiKeyDto, description: 'The key, without its secret.' })
  me(@Caller() key: ApiKey) {
    return key;
  }
}

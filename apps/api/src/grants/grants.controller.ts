import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { createGrantSchema, grantSchema, idSchema } from '@lowrank/contracts';
import { grant, type Ports, revokeGrant } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';

class GrantDto extends createZodDto(grantSchema) {}
class GrantListDto extends createZodDto(z.object({ data: z.array(grantSchema) })) {}
class CreateGrantDto extends createZodDto(createGrantSchema) {}
class GrantParams extends createZodDto(z.object({ id: idSchema('grant') })) {}

@ApiTags('Adapters')
@Controller('api/v1/grants')
export class GrantsController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Get()
  @Action('adapters.read')
  @ApiOperation({ summary: 'What your team lets others read, and what others let it, newest first.' })
  @Answer({ status: 200, type: GrantListDto, description: 'All grants from and to your team.' })
  async list(@TeamId() teamId: string) {
    return { data: await this.ports.unitOfWork.look(({ grants }) => grants.list(teamId)) };
  }

  @Post()
  @Action('grants.write')
  @ApiOperation({
    summary: 'Let another team read an adapter: all of its versions, or what an alias stands on.',
    description: 'What was granted of the adapter to that team before is replaced.',
  })
  @Answer({ status: 201, type: GrantDto, description: 'The grant.' })
  create(@TeamId() teamId: string, @Body() body: CreateGrantDto) {
    return grant(this.ports, teamId, body);
  }

  @Delete(':id')
  @Action('grants.write')
  @HttpCode(204)
  @ApiOperation({ summary: 'Take back a grant that your team has made. It works at once.' })
  @ApiNoContentResponse({ description: 'Taken back.' })
  revoke(@TeamId() teamId: string, @Param() { id }: GrantParams): Promise<void> {
    return revokeGrant(this.ports, teamId, id);
  }
}

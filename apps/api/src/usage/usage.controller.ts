import { Controller, Get, Inject, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { usageQuerySchema, usageReportSchema } from '@lowrank/contracts';
import { type Ports, reportUsage } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';

class UsageQueryDto extends createZodDto(usageQuerySchema) {}
class UsageReportDto extends createZodDto(usageReportSchema) {}

@ApiTags('Team')
@Controller('api/v1/usage')
export class UsageController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Get()
  @Action('usage.read')
  @ApiOperation({
    summary:
      'Tokens that completions of your team have taken, by day, who asked and model. Some seconds late.',
  })
  @Answer({ status: 200, type: UsageReportDto, description: 'The usage.' })
  own(@TeamId() teamId: string, @Query() query: UsageQueryDto) {
    return reportUsage(this.ports, teamId, query);
  }

  @Get('teams')
  @Action('teams.read')
  @ApiOperation({ summary: 'The same of all teams, by team besides. For the operator.' })
  @Answer({ status: 200, type: UsageReportDto, description: 'The usage.' })
  all(@Query() query: UsageQueryDto) {
    return reportUsage(this.ports, null, query);
  }
}

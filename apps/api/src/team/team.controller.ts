import { Body, Controller, Get, Inject, Patch } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { changeQuotasSchema, teamSchema } from '@lowrank/contracts';
import { changeQuotas, getTeam, type Ports } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';

class TeamDto extends createZodDto(teamSchema) {}
class ChangeQuotasDto extends createZodDto(changeQuotasSchema) {}

@ApiTags('Team')
@Controller('api/v1/team')
export class TeamController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Get()
  @Action('team.read')
  @ApiOperation({
    summary: 'Your team: its share of the machines, its quotas, and what it has used this month.',
  })
  @Answer({ status: 200, type: TeamDto, description: 'The team of the API key.' })
  get(@TeamId() teamId: string) {
    return getTeam(this.ports, teamId);
  }

  @Patch()
  @Action('team.quotas')
  @ApiOperation({
    summary: "Change the team's share and quotas; fields that are left out stay. Admin keys only.",
  })
  @Answer({ status: 200, type: TeamDto, description: 'The team.' })
  change(@TeamId() teamId: string, @Body() body: ChangeQuotasDto) {
    return changeQuotas(this.ports, teamId, body);
  }
}

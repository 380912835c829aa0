import { Body, Controller, Get, Inject, Param, Patch, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  changeTeamSchema,
  createdTeamSchema,
  createTeamSchema,
  idSchema,
  teamSchema,
} from '@lowrank/contracts';
import { changeTeam, createTeam, findTeam, listTeams, type Ports } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';

class TeamOfAllDto extends createZodDto(teamSchema) {}
class TeamListDto extends createZodDto(z.object({ data: z.array(teamSchema) })) {}
class CreatedTeamDto extends createZodDto(createdTeamSchema) {}
class CreateTeamDto extends createZodDto(createTeamSchema) {}
class ChangeTeamDto extends createZodDto(changeTeamSchema) {}
class TeamParams extends createZodDto(z.object({ id: idSchema('team') })) {}

/** All teams, for the operator's. */
@ApiTags('Teams')
@Controller('api/v1/teams')
export class TeamsController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Get()
  @Action('teams.read')
  @ApiOperation({ summary: 'List teams, with their shares, quotas and what they have used this month.' })
  @Answer({ status: 200, type: TeamListDto, description: 'All teams.' })
  async list() {
    return { data: await listTeams(this.ports) };
  }

  @Post()
  @Action('teams.write')
  @ApiOperation({ summary: 'Make a team and invite its first owner, whose token is shown this once.' })
  @Answer({ status: 201, type: CreatedTeamDto, description: 'The team, and the invitation of its owner.' })
  create(@Body() body: CreateTeamDto) {
    return createTeam(this.ports, body);
  }

  @Get(':id')
  @Action('teams.read')
  @ApiOperation({ summary: 'One team.' })
  @Answer({ status: 200, type: TeamOfAllDto, description: 'The team.' })
  get(@Param() { id }: TeamParams) {
    return findTeam(this.ports, id);
  }

  @Patch(':id')
  @Action('teams.write')
  @ApiOperation({ summary: 'Rename a team, or change its share and quotas; fields that are left out stay.' })
  @Answer({ status: 200, type: TeamOfAllDto, description: 'The team as it is now.' })
  change(@Param() { id }: TeamParams, @Body() body: ChangeTeamDto) {
    return changeTeam(this.ports, id, body);
  }
}

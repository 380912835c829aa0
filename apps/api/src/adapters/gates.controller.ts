import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Put } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { aliasNameSchema, gateSchema, nameSchema, setGateSchema } from '@lowrank/contracts';
import { found, type Ports, removeGate, setGate } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { Actor, TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { AdapterParams } from './version-params';

class GateDto extends createZodDto(gateSchema) {}
class GateListDto extends createZodDto(z.object({ data: z.array(gateSchema) })) {}
class SetGateDto extends createZodDto(setGateSchema) {}
class GateParams extends createZodDto(z.object({ name: nameSchema, alias: aliasNameSchema })) {}

/** What versions have to reach before an alias moves to them: docs/evaluations.md. */
@ApiTags('Evaluations')
@Controller('api/v1/adapters/:name/gates')
export class GatesController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Get()
  @Action('adapters.read')
  @ApiOperation({ summary: "List the gates of an adapter's aliases." })
  @Answer({ status: 200, type: GateListDto, description: 'All gates, by alias.' })
  list(@TeamId() teamId: string, @Param() { name }: AdapterParams) {
    return this.ports.unitOfWork.look(async ({ adapters, gates }) => {
      found(await adapters.find(teamId, name), 'adapter', name);
      return { data: await gates.list(teamId, name) };
    });
  }

  @Put(':alias')
  @Action('gates.write')
  @ApiOperation({ summary: 'Let an alias move only to versions that pass an evaluation.' })
  @Answer({ status: 200, type: GateDto, description: 'The gate as it is now.' })
  set(
    @TeamId() teamId: string,
    @Actor() actor: string,
    @Param() { name, alias }: GateParams,
    @Body() body: SetGateDto,
  ) {
    return setGate(this.ports, teamId, { adapter: name, alias, actor }, body);
  }

  @Delete(':alias')
  @Action('gates.write')
  @HttpCode(204)
  @ApiOperation({ summary: 'Let an alias move to any version again.' })
  @ApiNoContentResponse({ description: 'Removed.' })
  remove(@TeamId() teamId: string, @Param() { name, alias }: GateParams): Promise<void> {
    return removeGate(this.ports, teamId, { adapter: name, alias });
  }
}

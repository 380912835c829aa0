import { Controller, Get, Inject, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { auditEntrySchema, auditQuerySchema, pageSchema } from '@lowrank/contracts';
import { type Ports } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';

class AuditQueryDto extends createZodDto(auditQuerySchema) {}
class AuditPageDto extends createZodDto(pageSchema(auditEntrySchema)) {}

@ApiTags('Team')
@Controller('api/v1/audit')
export class AuditController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Get()
  @Action('audit.read')
  @ApiOperation({ summary: 'What has been changed in your team, by whom and how, newest first.' })
  @Answer({ status: 200, type: AuditPageDto, description: 'One page.' })
  list(@TeamId() teamId: string, @Query() query: AuditQueryDto) {
    return this.ports.unitOfWork.look(({ audit }) => audit.list(teamId, query));
  }

  @Get('accounts')
  @Action('accounts-audit.read')
  @ApiOperation({
    summary:
      "What concerns accounts and no team, such as sign-ins to an address that nobody has. For the operator's team.",
  })
  @Answer({ status: 200, type: AuditPageDto, description: 'One page.' })
  accounts(@Query() query: AuditQueryDto) {
    return this.ports.unitOfWork.acrossTeams.look(({ audit }) => audit.list(null, query));
  }
}

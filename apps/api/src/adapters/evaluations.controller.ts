import { Body, Controller, Get, Inject, Param, Post, Req } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  createEvaluationSchema,
  evaluationSchema,
  jobDetailSchema,
  type Principal,
} from '@lowrank/contracts';
import { assertAllowed, findVersion, type Ports, submitEvaluation } from '@lowrank/domain';
import { type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { Caller, TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { VersionParams } from './version-params';

class CreateEvaluationDto extends createZodDto(createEvaluationSchema) {}
class EvaluationJobDto extends createZodDto(jobDetailSchema) {}
class EvaluationListDto extends createZodDto(z.object({ data: z.array(evaluationSchema) })) {}

/** Versions measured on datasets: docs/evaluations.md. */
@ApiTags('Evaluations')
@Controller('api/v1/adapters/:name/versions/:version/evaluations')
export class EvaluationsController {
  constructor(@Inject(PORTS) private readonly ports: Ports) {}

  @Post()
  @Action('jobs.submit')
  @ApiOperation({
    summary: "Submit a job that measures a version: for an alias's gate, or by settings of its own.",
    description:
      'With `move` the alias moves to the version in the transaction that ends the evaluation, if the version passes; that needs the scope `adapters:write` too.',
  })
  @Answer({ status: 201, type: EvaluationJobDto, description: 'The queued job.' })
  create(
    @Caller() caller: Principal,
    @Param() { name, version }: VersionParams,
    @Body() body: CreateEvaluationDto,
    @Req() { id: requestId }: FastifyRequest,
  ) {
    if (body.move) assertAllowed(caller, 'adapters.write');
    const { teamId, actor } = caller;
    return submitEvaluation(this.ports, teamId, { adapter: name, version }, body, { actor, requestId });
  }

  @Get()
  @Action('adapters.read')
  @ApiOperation({ summary: 'What a version was measured as, the newest first.' })
  @Answer({ status: 200, type: EvaluationListDto, description: 'All evaluations of the version.' })
  list(@TeamId() teamId: string, @Param() { name, version }: VersionParams) {
    return this.ports.unitOfWork.look(async (repositories) => {
      const { number } = await findVersion(repositories, teamId, name, version);
      return { data: await repositories.evaluations.list(teamId, name, number) };
    });
  }
}

import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req } from '@nestjs/common';
import { ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import {
  createFineTuningJobSchema,
  fineTuningCheckpointSchema,
  fineTuningEventSchema,
  fineTuningJobSchema,
  type Job,
  openAiPageQuery,
  openAiPageSchema,
} from '@lowrank/contracts';
import { cancelJob, found, pauseJob, type Ports, resumeJob, submitJob } from '@lowrank/domain';
import { type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { FineTuningCheckpoints } from './checkpoints';
import { ApiOpenAiError } from './errors';
import { knownId } from './ids';
import { jobRequestOf } from './job-request';
import { metadataFilterOf } from './metadata-filter';
import { OpenAiModels, teamName } from './models';
import { notInList, pageOf, pageView } from './pages';
import { eventView, jobView, timelineKeyOf } from './views';

class CreateFineTuningJobDto extends createZodDto(createFineTuningJobSchema) {}
class FineTuningJobDto extends createZodDto(fineTuningJobSchema) {}
class FineTuningJobPageDto extends createZodDto(openAiPageSchema(fineTuningJobSchema)) {}
class FineTuningEventPageDto extends createZodDto(openAiPageSchema(fineTuningEventSchema)) {}
class FineTuningCheckpointPageDto extends createZodDto(openAiPageSchema(fineTuningCheckpointSchema)) {}
class FineTuningJobParams extends createZodDto(z.object({ job_id: z.string().max(64) })) {}
class FineTuningPageQuery extends createZodDto(openAiPageQuery({ max: 1000, default: 20 })) {}
class FineTuningCheckpointQuery extends createZodDto(openAiPageQuery({ max: 1000, default: 10 })) {}

/** Jobs, as fine-tuning jobs of OpenAI's API. */
@ApiTags('OpenAI')
@ApiOpenAiError()
@Controller('v1/fine_tuning/jobs')
export class FineTuningController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly models: OpenAiModels,
    private readonly checkpointsOf: FineTuningCheckpoints,
  ) {}

  @Post()
  @Action('jobs.submit')
  @HttpCode(200)
  @ApiOperation({ summary: 'Submit a job: train an adapter of a base model on a file.' })
  @Answer({ status: 200, type: FineTuningJobDto, description: 'The queued job.' })
  async create(@TeamId() teamId: string, @Body() body: CreateFineTuningJobDto) {
    knownId('dataset', body.training_file, 'training_file');
    if (body.validation_file) knownId('dataset', body.validation_file, 'validation_file');
    const trainable = await this.models.findTrainable(teamId, body.model);
    return this.view(teamId, await submitJob(this.ports, teamId, jobRequestOf(body, trainable)));
  }

  @Get()
  @Action('jobs.read')
  @ApiOperation({ summary: 'List jobs, newest first; `metadata[name]=text` lists those with that note.' })
  @ApiQuery({
    name: 'metadata',
    required: false,
    style: 'deepObject',
    explode: true,
    schema: { type: 'object', additionalProperties: { type: 'string' } },
  })
  @Answer({ status: 200, type: FineTuningJobPageDto, description: 'One page.' })
  async list(@TeamId() teamId: string, @Query() page: FineTuningPageQuery, @Req() { query }: FastifyRequest) {
    const metadata = metadataFilterOf(query);
    const { data, hasMore, name } = await this.ports.unitOfWork.look(async ({ jobs, teams }) => ({
      ...(await jobs.list(teamId, { ...page, kind: 'train', metadata })),
      name: await teamName({ teams }, teamId),
    }));
    return pageView(
      data.map((job) => jobView(job, { id: teamId, name }, this.ports.clock.now())),
      hasMore,
    );
  }

  @Get(':job_id')
  @Action('jobs.read')
  @ApiOperation({ summary: 'One job.' })
  @Answer({ status: 200, type: FineTuningJobDto, description: 'The job as it is now.' })
  async get(@TeamId() teamId: string, @Param() { job_id: id }: FineTuningJobParams) {
    return this.view(teamId, await this.find(teamId, id));
  }

  @Post(':job_id/cancel')
  @Action('jobs.control')
  @HttpCode(200)
  @ApiOperation({ summary: 'Cancel a job: at once when it waits, at the next micro-batch when it trains.' })
  @Answer({ status: 200, type: FineTuningJobDto, description: 'The job, `running` until it has stopped.' })
  async cancel(@TeamId() teamId: string, @Param() { job_id: id }: FineTuningJobParams) {
    return this.view(teamId, await cancelJob(this.ports, teamId, knownId('job', id)));
  }

  @Post(':job_id/pause')
  @Action('jobs.control')
  @HttpCode(200)
  @ApiOperation({ summary: 'Pause a job; one that trains writes a checkpoint first.' })
  @Answer({ status: 200, type: FineTuningJobDto, description: 'The job, `running` until it has stopped.' })
  async pause(@TeamId() teamId: string, @Param() { job_id: id }: FineTuningJobParams) {
    return this.view(teamId, await pauseJob(this.ports, teamId, knownId('job', id)));
  }

  @Post(':job_id/resume')
  @Action('jobs.control')
  @HttpCode(200)
  @ApiOperation({ summary: 'Queue a paused job again; it goes on from its checkpoint.' })
  @Answer({ status: 200, type: FineTuningJobDto, description: 'The queued job.' })
  async resume(@TeamId() teamId: string, @Param() { job_id: id }: FineTuningJobParams) {
    return this.view(teamId, await resumeJob(this.ports, teamId, knownId('job', id)));
  }

  @Get(':job_id/events')
  @Action('jobs.read')
  @ApiOperation({ summary: 'What has happened to a job and what was measured, newest first.' })
  @Answer({ status: 200, type: FineTuningEventPageDto, description: 'One page.' })
  async events(
    @TeamId() teamId: string,
    @Param() { job_id: id }: FineTuningJobParams,
    @Query() { after, limit }: FineTuningPageQuery,
  ) {
    const job = await this.find(teamId, id);
    const before = after === undefined ? undefined : timelineKeyOf(job.id, after);
    if (before === null) throw notInList(after ?? '');
    const entries = await this.ports.unitOfWork.read(({ jobs }) =>
      jobs.timeline(job.id, { before, limit: limit + 1 }),
    );
    return pageView(
      entries.slice(0, limit).map((entry) => eventView(job, entry)),
      entries.length > limit,
    );
  }

  @Get(':job_id/checkpoints')
  @Action('jobs.read')
  @ApiOperation({ summary: 'States of a job that are kept, newest first.' })
  @Answer({ status: 200, type: FineTuningCheckpointPageDto, description: 'One page.' })
  async checkpoints(
    @TeamId() teamId: string,
    @Param() { job_id: id }: FineTuningJobParams,
    @Query() page: FineTuningCheckpointQuery,
  ) {
    return pageOf(await this.checkpointsOf.list(teamId, await this.find(teamId, id)), page);
  }

  private find(teamId: string, id: string): Promise<Job> {
    return this.ports.unitOfWork.look(async ({ jobs }) =>
      found(await jobs.find(teamId, knownId('job', id)), 'job', id),
    );
  }

  private async view(teamId: string, job: Job) {
    const name = await this.ports.unitOfWork.look(({ teams }) => teamName({ teams }, teamId));
    return jobView(job, { id: teamId, name }, this.ports.clock.now());
  }
}

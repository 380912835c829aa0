import { Body, Controller, Get, Headers, HttpCode, Inject, Param, Post, Query, Res } from '@nestjs/common';
import { ApiHeader, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { type JobMetric, type Principal } from '@lowrank/contracts';
import {
  cancelJob,
  cloneJob,
  estimateJob,
  found,
  pauseJob,
  type Ports,
  prioritizeJob,
  type Repositories,
  resumeJob,
  retryJob,
  retryJobs,
  submitCombination,
  submitJob,
} from '@lowrank/domain';
import { type FastifyReply } from 'fastify';
import { Readable } from 'node:stream';
import { Action } from '../auth/action';
import { Caller, TeamId } from '../auth/caller';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { Shutdown } from '../http/shutdown';
import { followJob, formatCursor, parseCursor, startOfStream, toServerSentEvent } from './job-stream';
import {
  CloneJobDto,
  CreateCombinationDto,
  CreateJobDto,
  EstimateDto,
  EstimateJobDto,
  JobCurvesDto,
  JobCurvesQuery,
  JobDetailDto,
  JobDto,
  JobEventPageDto,
  JobEventsQuery,
  JobListQuery,
  JobLogPageDto,
  JobLogQuery,
  JobMetricColumnsDto,
  JobMetricColumnsQuery,
  JobMetricPageDto,
  JobMetricsQuery,
  JobPageDto,
  JobSamplesDto,
  JobParams,
  PrioritizeJobDto,
  RetriedJobsDto,
  RetryJobsDto,
} from './jobs.dto';

@ApiTags('Jobs')
@Controller('api/v1/jobs')
export class JobsController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly shutdown: Shutdown,
  ) {}

  @Post()
  @Action('jobs.submit')
  @ApiOperation({ summary: 'Submit a job: train an adapter of a base model on a dataset.' })
  @Answer({
    status: 201,
    type: JobDetailDto,
    description: 'The queued job, its recipe with every default filled in, and what is known of it.',
  })
  create(@TeamId() teamId: string, @Body() body: CreateJobDto) {
    return submitJob(this.ports, teamId, body);
  }

  @Post('combine')
  @Action('jobs.submit')
  @ApiOperation({
    summary: 'Submit a job that makes the next version of an adapter of several versions on one base model.',
  })
  @Answer({ status: 201, type: JobDetailDto, description: 'The queued job.' })
  combine(@Caller() caller: Principal, @Body() body: CreateCombinationDto) {
    return submitCombination(this.ports, caller, body);
  }

  @Post('estimate')
  @Action('jobs.estimate')
  @HttpCode(200)
  @ApiOperation({
    summary: 'What a job would take, without submitting it.',
    description:
      'Steps and tokens as the trainer would plan them, peak memory, time on each device class that workers announce, and which servers can load the adapter. What takes long to count is null, with a warning.',
  })
  @Answer({ status: 200, type: EstimateDto, description: 'The estimate.' })
  estimate(@TeamId() teamId: string, @Body() body: EstimateJobDto) {
    return estimateJob(this.ports, teamId, body);
  }

  @Post('retry')
  @Action('jobs.control')
  @HttpCode(200)
  @ApiOperation({ summary: 'Queue several failed or cancelled jobs again.' })
  @Answer({
    status: 200,
    type: RetriedJobsDto,
    description:
      'The queued jobs, and those that could not be, with the reason. Where none could, its error.',
  })
  retryMany(@TeamId() teamId: string, @Body() { jobs }: RetryJobsDto) {
    return retryJobs(this.ports, teamId, jobs);
  }

  @Get()
  @Action('jobs.read')
  @ApiOperation({ summary: 'List jobs, newest first.' })
  @Answer({ status: 200, type: JobPageDto, description: 'One page.' })
  list(@TeamId() teamId: string, @Query() query: JobListQuery) {
    return this.read(({ jobs }) => jobs.list(teamId, query));
  }

  @Get('curves')
  @Action('jobs.read')
  @ApiOperation({
    summary: 'Metrics of many jobs, thinned out evenly: for pictures and comparisons.',
    description: 'A job that is not there, or has no metrics yet, is left out.',
  })
  @Answer({ status: 200, type: JobCurvesDto, description: 'What there is of each.' })
  async curves(@TeamId() teamId: string, @Query() { jobs: ids, points }: JobCurvesQuery) {
    return { data: await this.read(({ jobs }) => jobs.sampledMetrics(teamId, ids, points)) };
  }

  @Get(':id')
  @Action('jobs.read')
  @ApiOperation({ summary: 'One job.' })
  @Answer({ status: 200, type: JobDetailDto, description: 'The job as it is now.' })
  get(@TeamId() teamId: string, @Param() { id }: JobParams) {
    return this.read(async ({ jobs }) => found(await jobs.detail(teamId, id), 'job', id));
  }

  @Post(':id/cancel')
  @Action('jobs.control')
  @HttpCode(200)
  @ApiOperation({ summary: 'Cancel a job: at once when it waits, at the next micro-batch when it trains.' })
  @Answer({ status: 200, type: JobDto, description: 'The job; cancelled, or with cancelRequested.' })
  cancel(@TeamId() teamId: string, @Param() { id }: JobParams) {
    return cancelJob(this.ports, teamId, id);
  }

  @Post(':id/pause')
  @Action('jobs.control')
  @HttpCode(200)
  @ApiOperation({
    summary:
      'Pause a job: at once when it waits; one that trains writes a checkpoint and gives its slot back.',
  })
  @Answer({ status: 200, type: JobDto, description: 'The job; paused, or with pauseRequested.' })
  pause(@TeamId() teamId: string, @Param() { id }: JobParams) {
    return pauseJob(this.ports, teamId, id);
  }

  @Post(':id/resume')
  @Action('jobs.control')
  @HttpCode(200)
  @ApiOperation({ summary: 'Queue a paused job again; it goes on from its checkpoint, to the same bytes.' })
  @Answer({ status: 200, type: JobDto, description: 'The queued job.' })
  resume(@TeamId() teamId: string, @Param() { id }: JobParams) {
    return resumeJob(this.ports, teamId, id);
  }

  @Post(':id/retry')
  @Action('jobs.control')
  @HttpCode(200)
  @ApiOperation({ summary: 'Queue a failed or cancelled job again.' })
  @Answer({ status: 200, type: JobDto, description: 'The queued job.' })
  retry(@TeamId() teamId: string, @Param() { id }: JobParams) {
    return retryJob(this.ports, teamId, id);
  }

  @Post(':id/clone')
  @Action('jobs.submit')
  @ApiOperation({ summary: 'Submit a job like this one, with the changes in the body.' })
  @Answer({ status: 201, type: JobDetailDto, description: 'The new job.' })
  clone(@TeamId() teamId: string, @Param() { id }: JobParams, @Body() body: CloneJobDto) {
    return cloneJob(this.ports, teamId, id, body);
  }

  @Post(':id/priority')
  @Action('jobs.control')
  @HttpCode(200)
  @ApiOperation({ summary: "Change a job's priority. Higher goes first within the team." })
  @Answer({ status: 200, type: JobDto, description: 'The job.' })
  prioritize(@TeamId() teamId: string, @Param() { id }: JobParams, @Body() { priority }: PrioritizeJobDto) {
    return prioritizeJob(this.ports, teamId, id, priority);
  }

  @Get(':id/events')
  @Action('jobs.read')
  @ApiOperation({ summary: "A job's events, oldest first." })
  @Answer({ status: 200, type: JobEventPageDto, description: 'Events with a seq above `after`.' })
  events(@TeamId() teamId: string, @Param() { id }: JobParams, @Query() { after, limit }: JobEventsQuery) {
    return this.read(async ({ jobs }) => {
      found(await jobs.find(teamId, id), 'job', id);
      return page(await jobs.events(id, after, limit + 1), limit);
    });
  }

  @Get(':id/logs')
  @Action('jobs.read')
  @ApiOperation({
    summary: "What a job's trainers have logged, oldest first; of a long log the newest lines.",
  })
  @Answer({ status: 200, type: JobLogPageDto, description: 'Lines with a seq above `after`.' })
  logs(@TeamId() teamId: string, @Param() { id }: JobParams, @Query() { after, limit }: JobLogQuery) {
    return this.read(async ({ jobs }) => {
      found(await jobs.find(teamId, id), 'job', id);
      return page(await jobs.log(id, after, limit + 1), limit);
    });
  }

  @Get(':id/metrics')
  @Action('jobs.read')
  @ApiOperation({ summary: "A job's metrics in order of steps." })
  @Answer({ status: 200, type: JobMetricPageDto, description: 'Metrics of steps above `afterStep`.' })
  metrics(
    @TeamId() teamId: string,
    @Param() { id }: JobParams,
    @Query() { afterStep, limit }: JobMetricsQuery,
  ) {
    return this.read(async ({ jobs }) => {
      found(await jobs.find(teamId, id), 'job', id);
      const { data, hasMore } = page(await jobs.metrics(id, { afterStep, limit: limit + 1 }), limit);
      return { data: hasMore ? wholeSteps(data) : data, hasMore };
    });
  }

  @Get(':id/metrics/columns')
  @Action('jobs.read')
  @ApiOperation({
    summary: "All of a job's metrics in order of steps, as a list for each field.",
    description: 'For pictures: the stream goes on from its `cursor`.',
  })
  @Answer({ status: 200, type: JobMetricColumnsDto, description: 'Metrics of steps above `afterStep`.' })
  metricColumns(
    @TeamId() teamId: string,
    @Param() { id }: JobParams,
    @Query() { afterStep }: JobMetricColumnsQuery,
  ) {
    return this.read(async ({ jobs }) => {
      found(await jobs.find(teamId, id), 'job', id);
      const columns = await jobs.metricColumns(id, afterStep);
      const step = Math.max(afterStep, columns.train.step.at(-1) ?? -1, columns.eval.step.at(-1) ?? -1);
      return { ...columns, cursor: formatCursor({ ...startOfStream, step }) };
    });
  }

  @Get(':id/samples')
  @Action('jobs.read')
  @ApiOperation({
    summary:
      'Answers that a job gives on its way, in order of steps: before training, at evaluations, and after.',
    description:
      "To the first rows held out, or to the prompts of the recipe's `samples`; by the likeliest tokens.",
  })
  @Answer({ status: 200, type: JobSamplesDto, description: 'All that are kept.' })
  samples(@TeamId() teamId: string, @Param() { id }: JobParams) {
    return this.read(async ({ jobs }) => {
      found(await jobs.find(teamId, id), 'job', id);
      return { data: await jobs.samples(id) };
    });
  }

  @Get(':id/stream')
  @Action('jobs.read')
  @ApiOperation({
    summary: 'Follow a job: server-sent events `job`, `event`, `metric` and `log` until its state is final.',
  })
  @ApiHeader({ name: 'last-event-id', required: false, description: 'Id of the last event that you have.' })
  @ApiOkResponse({
    description: 'Data of each event: the JSON of a job, a job event, a metric or a line of its log.',
    content: { 'text/event-stream': { schema: { type: 'string' } } },
  })
  async stream(
    @TeamId() teamId: string,
    @Param() { id }: JobParams,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.get(teamId, { id });
    const left = new AbortController();
    const signal = AbortSignal.any([left.signal, this.shutdown.signal]);
    reply.raw.once('close', () => left.abort());
    // Whoever reads on is the socket, which knows nothing of the request.
    const unitOfWork = this.ports.unitOfWork.forTeam(teamId);
    const parts = followJob(unitOfWork, teamId, id, { signal, from: parseCursor(lastEventId) });
    const body = Readable.from(parts).map(toServerSentEvent);
    void reply
      .header('content-type', 'text/event-stream; charset=utf-8')
      .header('cache-control', 'no-store')
      .header('x-accel-buffering', 'no')
      .send(body);
  }

  private read<T>(work: (repositories: Repositories) => Promise<T>): Promise<T> {
    return this.ports.unitOfWork.look(work);
  }
}

/** A page of rows of which one more than the limit was asked for. */
const page = <T>(rows: T[], limit: number) => ({ data: rows.slice(0, limit), hasMore: rows.length > limit });

/** Drops the last step of a full page, whose evaluation may be on the next: `afterStep` would skip it. */
const wholeSteps = (metrics: JobMetric[]): JobMetric[] =>
  metrics.filter(({ step }) => step !== metrics.at(-1)?.step);

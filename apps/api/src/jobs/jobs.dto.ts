import {
  cloneJobSchema,
  createCombinationSchema,
  createJobSchema,
  estimateJobSchema,
  estimateSchema,
  idSchema,
  jobCheckpointsSchema,
  jobCurveSchema,
  jobDetailSchema,
  jobEventSchema,
  jobLogLineSchema,
  jobMetricColumnsSchema,
  jobMetricSchema,
  jobSamplesSchema,
  jobSchema,
  jobStateSchema,
  maxCurves,
  nameSchema,
  pageQuerySchema,
  pageSchema,
  prioritizeJobSchema,
  retriedJobsSchema,
  retryJobsSchema,
  workKindSchema,
} from '@lowrank/contracts';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { placeInOrder } from '../http/paging';

const limit = z.coerce.number().int().max(1000);

export class CreateJobDto extends createZodDto(createJobSchema) {}
export class CreateCombinationDto extends createZodDto(createCombinationSchema) {}
export class EstimateJobDto extends createZodDto(estimateJobSchema) {}
export class EstimateDto extends createZodDto(estimateSchema) {}
export class CloneJobDto extends createZodDto(cloneJobSchema) {}
export class PrioritizeJobDto extends createZodDto(prioritizeJobSchema) {}
export class JobDto extends createZodDto(jobSchema) {}
export class JobDetailDto extends createZodDto(jobDetailSchema) {}
export class JobPageDto extends createZodDto(pageSchema(jobSchema)) {}
export class JobParams extends createZodDto(z.object({ id: idSchema('job') })) {}
export class JobCheckpointsDto extends createZodDto(jobCheckpointsSchema) {}
export class JobCheckpointParams extends createZodDto(
  z.object({ id: idSchema('job'), step: placeInOrder.min(1) }),
) {}
export class JobListQuery extends createZodDto(
  pageQuerySchema.extend({
    state: jobStateSchema.optional(),
    kind: workKindSchema.optional().describe('What they do.'),
    adapter: nameSchema.optional(),
    sweep: idSchema('sweep').optional(),
  }),
) {}
export class JobEventsQuery extends createZodDto(
  z.object({
    after: placeInOrder.min(0).default(0).describe('Last seq that you have.'),
    limit: limit.min(1).default(1000),
  }),
) {}
export class JobEventPageDto extends createZodDto(pageSchema(jobEventSchema)) {}
export class JobLogQuery extends createZodDto(
  z.object({
    after: placeInOrder.min(0).default(0).describe('Last seq that you have.'),
    limit: limit.min(1).default(1000),
  }),
) {}
export class JobLogPageDto extends createZodDto(pageSchema(jobLogLineSchema)) {}
export class JobMetricsQuery extends createZodDto(
  z.object({
    afterStep: placeInOrder.min(-1).optional().describe('Last step that you have.'),
    limit: limit
      .min(4)
      .default(1000)
      .describe('Pages end with a whole step, so they may be a little shorter.'),
  }),
) {}
export class JobSamplesDto extends createZodDto(z.object({ data: z.array(jobSamplesSchema) })) {}
export class JobMetricColumnsDto extends createZodDto(jobMetricColumnsSchema) {}
export class JobMetricColumnsQuery extends createZodDto(
  z.object({ afterStep: placeInOrder.min(-1).default(-1).describe('Last step that you have.') }),
) {}
export class JobMetricPageDto extends createZodDto(pageSchema(jobMetricSchema)) {}
export class JobCurvesQuery extends createZodDto(
  z.object({
    jobs: z
      .string()
      .transform((text) => text.split(','))
      .pipe(z.array(idSchema('job')).min(1).max(maxCurves))
      .describe(`Ids of up to ${maxCurves} jobs, with commas between.`),
    points: z.coerce.number().int().min(2).max(2000).default(100).describe('How many of each kind at most.'),
  }),
) {}
export class JobCurvesDto extends createZodDto(z.object({ data: z.array(jobCurveSchema) })) {}
export class RetryJobsDto extends createZodDto(retryJobsSchema) {}
export class RetriedJobsDto extends createZodDto(retriedJobsSchema) {}

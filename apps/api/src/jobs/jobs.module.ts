import { Module } from '@nestjs/common';
import { CheckpointsController } from './checkpoints.controller';
import { JobsController } from './jobs.controller';

@Module({ controllers: [JobsController, CheckpointsController] })
export class JobsModule {}

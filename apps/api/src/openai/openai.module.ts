import { Module } from '@nestjs/common';
import { FilesModule } from '../files/files.module';
import { FineTuningCheckpoints } from './checkpoints';
import { OpenAiFilesController } from './files.controller';
import { FineTuningController } from './fine-tuning.controller';
import { OpenAiModels } from './models';
import { OpenAiModelsController } from './models.controller';

/** Datasets, jobs, base models and versions for OpenAI's clients. */
@Module({
  imports: [FilesModule],
  controllers: [OpenAiFilesController, FineTuningController, OpenAiModelsController],
  providers: [OpenAiModels, FineTuningCheckpoints],
})
export class OpenAiModule {}

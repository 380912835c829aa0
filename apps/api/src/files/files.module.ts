import { Module } from '@nestjs/common';
import { DatasetViews } from './dataset-views';
import { DatasetUploads } from './datasets';
import { StagedDatasets } from './staged-datasets';
import { FilesController } from './files.controller';

@Module({
  controllers: [FilesController],
  providers: [DatasetUploads, DatasetViews, StagedDatasets],
  exports: [DatasetUploads, StagedDatasets],
})
export class FilesModule {}

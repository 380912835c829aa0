import { Module } from '@nestjs/common';
import { DatasetViews } from './dataset-views';
import { DatasetUploads } from './datasets';
import { FilesController } from './files.controller';

@Module({
  controllers: [FilesController],
  providers: [DatasetUploads, DatasetViews],
  exports: [DatasetUploads],
})
export class FilesModule {}

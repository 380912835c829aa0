import { Module } from '@nestjs/common';
import { DatasetUploads } from './datasets';
import { FilesController } from './files.controller';

@Module({ controllers: [FilesController], providers: [DatasetUploads], exports: [DatasetUploads] })
export class FilesModule {}

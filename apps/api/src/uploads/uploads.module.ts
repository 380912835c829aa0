import { Module } from '@nestjs/common';
import { FilesModule } from '../files/files.module';
import { UploadsController } from './uploads.controller';

@Module({ imports: [FilesModule], controllers: [UploadsController] })
export class UploadsModule {}

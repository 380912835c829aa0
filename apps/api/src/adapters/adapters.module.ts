import { Module } from '@nestjs/common';
import { AdaptersController } from './adapters.controller';
import { AliasesController } from './aliases.controller';
import { DeletionController } from './deletion.controller';
import { ExportsController } from './exports.controller';

@Module({ controllers: [AdaptersController, AliasesController, DeletionController, ExportsController] })
export class AdaptersModule {}

import { Module } from '@nestjs/common';
import { AdaptersController } from './adapters.controller';
import { AliasesController } from './aliases.controller';
import { DeletionController } from './deletion.controller';

@Module({ controllers: [AdaptersController, AliasesController, DeletionController] })
export class AdaptersModule {}

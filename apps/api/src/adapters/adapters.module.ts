import { Module } from '@nestjs/common';
import { AdaptersController } from './adapters.controller';
import { AliasesController } from './aliases.controller';
import { ExportsController } from './exports.controller';

@Module({ controllers: [AdaptersController, AliasesController, ExportsController] })
export class AdaptersModule {}

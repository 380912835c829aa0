import { Module } from '@nestjs/common';
import { AdaptersController } from './adapters.controller';
import { AliasesController } from './aliases.controller';

@Module({ controllers: [AdaptersController, AliasesController] })
export class AdaptersModule {}

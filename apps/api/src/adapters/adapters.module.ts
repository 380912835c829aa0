import { Module } from '@nestjs/common';
import { CompletionsModule } from '../completions/completions.module';
import { AdaptersController } from './adapters.controller';
import { AliasesController } from './aliases.controller';
import { DeletionController } from './deletion.controller';
import { EvaluationsController } from './evaluations.controller';
import { ExportsController } from './exports.controller';
import { AdapterImports } from './import';
import { GatesController } from './gates.controller';
import { PinsController } from './pins.controller';

@Module({
  imports: [CompletionsModule],
  controllers: [
    AdaptersController,
    AliasesController,
    DeletionController,
    EvaluationsController,
    ExportsController,
    GatesController,
    PinsController,
  ],
  providers: [AdapterImports],
})
export class AdaptersModule {}

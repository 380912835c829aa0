import { Module } from '@nestjs/common';
import { CompletionsController } from './completions.controller';
import { UsageModule } from '../usage/usage.module';
import { Prefetcher } from './prefetcher';
import { Servers } from './servers';

@Module({
  imports: [UsageModule],
  controllers: [CompletionsController],
  providers: [Prefetcher, Servers],
  exports: [Prefetcher],
})
export class CompletionsModule {}

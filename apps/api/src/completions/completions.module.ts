import { Module } from '@nestjs/common';
import { CompletionsController } from './completions.controller';
import { UsageModule } from '../usage/usage.module';
import { PinKeeper } from './pin-keeper';
import { Prefetcher } from './prefetcher';
import { Servers } from './servers';

@Module({
  imports: [UsageModule],
  controllers: [CompletionsController],
  providers: [PinKeeper, Prefetcher, Servers],
  exports: [PinKeeper, Prefetcher, Servers],
})
export class CompletionsModule {}

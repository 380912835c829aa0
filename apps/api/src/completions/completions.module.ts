import { Module } from '@nestjs/common';
import { CompletionsController } from './completions.controller';
import { UsageModule } from '../usage/usage.module';
import { Servers } from './servers';

@Module({ imports: [UsageModule], controllers: [CompletionsController], providers: [Servers] })
export class CompletionsModule {}

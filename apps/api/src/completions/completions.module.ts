import { Module } from '@nestjs/common';
import { CompletionsController } from './completions.controller';
import { Servers } from './servers';

@Module({ controllers: [CompletionsController], providers: [Servers] })
export class CompletionsModule {}

import { Module } from '@nestjs/common';
import { HubController } from './hub.controller';
import { HubRepos } from './repos';

/** Adapters and base models for Hugging Face's clients. */
@Module({ controllers: [HubController], providers: [HubRepos] })
export class HubModule {}

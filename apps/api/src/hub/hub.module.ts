import { Module } from '@nestjs/common';
import { Downloads } from './downloads';
import { DownloadsController } from './downloads.controller';
import { HubController } from './hub.controller';
import { HubRepos } from './repos';

/** Adapters and base models for Hugging Face's clients. */
@Module({ controllers: [HubController, DownloadsController], providers: [Downloads, HubRepos] })
export class HubModule {}

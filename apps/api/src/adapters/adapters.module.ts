import { Module } from '@nestjs/common';
import { AdaptersController } from './adapters.controller';

@Module({ controllers: [AdaptersController] })
export class AdaptersModule {}

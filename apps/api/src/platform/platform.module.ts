import { Module } from '@nestjs/common';
import { PlatformController } from './platform.controller';
import { Services } from './services';

@Module({ controllers: [PlatformController], providers: [Services] })
export class PlatformModule {}

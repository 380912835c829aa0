import { Module } from '@nestjs/common';
import { MeController } from './me.controller';
import { OwnSessionsController } from './own-sessions.controller';

@Module({ controllers: [MeController, OwnSessionsController] })
export class MeModule {}

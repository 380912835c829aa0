import { Module } from '@nestjs/common';
import { Attempts } from './attempts';
import { SessionController } from './session.controller';

@Module({
  controllers: [SessionController],
  providers: [{ provide: Attempts, useFactory: () => new Attempts() }],
  exports: [Attempts],
})
export class SessionModule {}

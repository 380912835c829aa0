import { Module } from '@nestjs/common';
import { Attempts } from './attempts';
import { PasswordResetsController } from './password-resets.controller';
import { SessionController } from './session.controller';

@Module({
  controllers: [SessionController, PasswordResetsController],
  providers: [Attempts],
  exports: [Attempts],
})
export class SessionModule {}

import { Module } from '@nestjs/common';
import { SessionModule } from '../session/session.module';
import { InvitationsController } from './invitations.controller';
import { MembersController } from './members.controller';

@Module({ imports: [SessionModule], controllers: [MembersController, InvitationsController] })
export class MembersModule {}

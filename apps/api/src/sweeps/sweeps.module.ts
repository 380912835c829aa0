import { Module } from '@nestjs/common';
import { SweepsController } from './sweeps.controller';

@Module({ controllers: [SweepsController] })
export class SweepsModule {}

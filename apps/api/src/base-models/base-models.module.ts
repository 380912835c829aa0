import { Module } from '@nestjs/common';
import { BaseModelsController } from './base-models.controller';
import { BaseModelImports } from './imports';

@Module({ controllers: [BaseModelsController], providers: [BaseModelImports] })
export class BaseModelsModule {}

import { DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { LoggerModule } from 'nestjs-pino';
import { createZodValidationPipe } from 'nestjs-zod';
import { AdaptersModule } from './adapters/adapters.module';
import { AuditModule } from './audit/audit.module';
import { BaseModelsModule } from './base-models/base-models.module';
import { CompletionsModule } from './completions/completions.module';
import { type Dependencies, DependenciesModule } from './dependencies';
import { FilesModule } from './files/files.module';
import { GrantsModule } from './grants/grants.module';
import { HealthModule } from './health/health.module';
import { ErrorFilter } from './http/error.filter';
import { HubModule } from './hub/hub.module';
import { loggingOf } from './http/logging';
import { ShutdownModule } from './http/shutdown';
import { StagingModule } from './http/staging';
import { StoredFilesModule } from './http/stored-files';
import { JobsModule } from './jobs/jobs.module';
import { KeysModule } from './keys/keys.module';
import { MembersModule } from './members/members.module';
import { MeModule } from './me/me.module';
import { MetricsModule } from './metrics/metrics.module';
import { OpenAiModule } from './openai/openai.module';
import { OverviewModule } from './overview/overview.module';
import { PlatformModule } from './platform/platform.module';
import { SessionModule } from './session/session.module';
import { SweepsModule } from './sweeps/sweeps.module';
import { TeamModule } from './team/team.module';
import { TeamsModule } from './teams/teams.module';
import { UploadsModule } from './uploads/uploads.module';
import { UsageModule } from './usage/usage.module';
import { WebhooksModule } from './webhooks/webhooks.module';
import { WorkersModule } from './workers/workers.module';

@Module({})
export class AppModule {
  /** The whole API on the given ports. */
  static of(dependencies: Dependencies): DynamicModule {
    return {
      module: AppModule,
      imports: [
        LoggerModule.forRoot(loggingOf(dependencies.config)),
        DependenciesModule.of(dependencies),
        ShutdownModule,
        StagingModule,
        StoredFilesModule,
        HealthModule,
        MeModule,
        KeysModule,
        SessionModule,
        MembersModule,
        AuditModule,
        BaseModelsModule,
        FilesModule,
        UploadsModule,
        JobsModule,
        SweepsModule,
        AdaptersModule,
        GrantsModule,
        HubModule,
        OpenAiModule,
        CompletionsModule,
        OverviewModule,
        TeamModule,
        TeamsModule,
        UsageModule,
        WorkersModule,
        PlatformModule,
        MetricsModule,
        WebhooksModule,
      ],
      providers: [
        { provide: APP_FILTER, useClass: ErrorFilter },
        { provide: APP_PIPE, useClass: createZodValidationPipe() },
      ],
    };
  }
}

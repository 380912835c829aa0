import { BeforeApplicationShutdown, Global, Injectable, Module } from '@nestjs/common';

/** Tells long responses (event streams) that the API is closing, before the server waits for open requests. */
@Injectable()
export class Shutdown implements BeforeApplicationShutdown {
  private readonly controller = new AbortController();
  readonly signal = this.controller.signal;

  beforeApplicationShutdown(): void {
    this.controller.abort();
  }
}

@Global()
@Module({ providers: [Shutdown], exports: [Shutdown] })
export class ShutdownModule {}

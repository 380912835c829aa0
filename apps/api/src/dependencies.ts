import { DynamicModule, Global, Module } from '@nestjs/common';
import { type Config } from '@lowrank/config';
import { type ObjectStore, type Ports, type QueueInspector } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';

/** Injection tokens of what the composition root hands in: interfaces have no run-time class to inject by. */
export const CONFIG = Symbol('Config');
export const PORTS = Symbol('Ports');
export const STORE = Symbol('ObjectStore');
export const BLOBS = Symbol('Blobs');
export const QUEUE = Symbol('QueueInspector');

export interface Dependencies {
  config: Config;
  ports: Ports;
  store: ObjectStore;
  blobs: Blobs;
  queue: QueueInspector;
}

@Global()
@Module({})
export class DependenciesModule {
  static of({ config, ports, store, blobs, queue }: Dependencies): DynamicModule {
    const providers = [
      { provide: CONFIG, useValue: config },
      { provide: PORTS, useValue: ports },
      { provide: STORE, useValue: store },
      { provide: BLOBS, useValue: blobs },
      { provide: QUEUE, useValue: queue },
    ];
    return { module: DependenciesModule, providers, exports: providers };
  }
}

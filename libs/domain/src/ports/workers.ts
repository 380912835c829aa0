import { type DeviceFailure, type DrainMode, type MachineUsage } from '@lowrank/contracts';

export interface WorkerRecord {
  id: string;
  hostname: string;
  /** Jobs it can run at a time. */
  slots: number;
  /** What it computes with, e.g. `cpu AMD EPYC`. */
  device: string;
  /** What jobs name in placement.deviceClasses. */
  deviceClass: string;
  /** For all of its slots together, bytes; 0: not known. */
  memoryBytes: number;
  /** Of all of its slots together; 0: not known. */
  threads: number;
  /** Operations of a training step, as trainingOperations counts them, that one of its trainers does in a second; null: not known. */
  operationsPerSecond: number | null;
  /** Version of the wake-ups that it understands; workers of before there were versions have 1. */
  wakeUpVersion: number;
  /** How busy its machine is; null: not known. */
  usage: MachineUsage | null;
  /** Whether somebody wants it to leave; null: it works. */
  drain: DrainMode | null;
  /** What of its device has failed, for which it is drained until an admin lets it work again; null: nothing. */
  failure: DeviceFailure | null;
  seenAt: string;
}

/** What a worker says of itself. Whether it is to work is for others to say. */
export type WorkerFacts = Omit<WorkerRecord, 'drain' | 'failure'>;

export interface WorkerRepository {
  /** Writes what the worker says of itself, and resolves to its row. */
  upsert(worker: WorkerFacts): Promise<WorkerRecord>;
  find(id: string): Promise<WorkerRecord | null>;
  seenSince(since: string): Promise<WorkerRecord[]>;
  /** null: it works again, and no failure is known of it. Resolves to false when there is no such worker. */
  setDrain(id: string, drain: DrainMode | null): Promise<boolean>;
  /** Drains it at once for a failure of its device. Resolves to false when there is no such worker. */
  fail(id: string, failure: DeviceFailure): Promise<boolean>;
  remove(id: string): Promise<void>;
  /** Removes workers not seen since, and resolves to their ids. */
  removeUnseen(since: string): Promise<string[]>;
}

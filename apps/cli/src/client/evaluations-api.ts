import {
  type CreateEvaluationInput,
  type Evaluation,
  evaluationSchema,
  type Gate,
  gateSchema,
  type JobDetail,
  jobDetailSchema,
  type SetGateInput,
} from '@lowrank/contracts';
import { z } from 'zod';
import { type Http } from './http';

const part = encodeURIComponent;
const pathOf = (adapter: string, version: string | number) =>
  `/api/v1/adapters/${part(adapter)}/versions/${part(version)}/evaluations`;
const gatePath = (adapter: string, alias: string) => `/api/v1/adapters/${part(adapter)}/gates/${part(alias)}`;

/** Evaluations of versions, and gates of aliases. `version` is `v3`, `3`, `latest` or an alias. */
export class EvaluationsApi {
  constructor(private readonly http: Http) {}

  submit(adapter: string, version: string, json: CreateEvaluationInput): Promise<JobDetail> {
    return this.http.json(pathOf(adapter, version), jobDetailSchema, { method: 'POST', json });
  }

  /** The newest first. */
  async list(adapter: string, version: string | number): Promise<Evaluation[]> {
    const page = z.object({ data: z.array(evaluationSchema) });
    return (await this.http.json(pathOf(adapter, version), page)).data;
  }

  async gates(adapter: string): Promise<Gate[]> {
    const page = z.object({ data: z.array(gateSchema) });
    return (await this.http.json(`/api/v1/adapters/${part(adapter)}/gates`, page)).data;
  }

  setGate(adapter: string, alias: string, json: SetGateInput): Promise<Gate> {
    return this.http.json(gatePath(adapter, alias), gateSchema, { method: 'PUT', json });
  }

  async removeGate(adapter: string, alias: string): Promise<void> {
    await (await this.http.response(gatePath(adapter, alias), { method: 'DELETE' })).arrayBuffer();
  }
}

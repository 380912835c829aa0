import { type JobMetric } from '@lowrank/contracts';
import { beginSpan } from '@lowrank/telemetry';

/** Steps of about this time share a span: a run of a million steps has some thousands of spans at most. */
const spanMs = 10_000;

/** Makes spans of optimizer steps, many together, under the span that is active when they are told. Evaluations are events of them. */
export class StepSpans {
  private open: { span: ReturnType<typeof beginSpan>; since: number } | null = null;
  private endedAt = Date.now();

  take({ kind, step, loss, tokensPerSecond }: JobMetric): void {
    if (this.open === null) {
      const span = beginSpan('steps', {
        startTime: this.endedAt,
        attributes: { 'lowrank.step.first': step },
      });
      this.open = { span, since: performance.now() };
    }
    const { span, since } = this.open;
    if (kind === 'eval') span.addEvent('evaluation', { 'lowrank.step': step, 'lowrank.loss': loss });
    else
      span.setAttributes({
        ...{ 'lowrank.step.last': step, 'lowrank.loss': loss },
        'lowrank.tokens_per_second': tokensPerSecond ?? 0,
      });
    if (performance.now() - since >= spanMs) this.end();
  }

  end(): void {
    this.open?.span.end();
    this.open = null;
    this.endedAt = Date.now();
  }
}

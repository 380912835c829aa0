import { Body, Controller, HttpCode, Inject, Post, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  chatCompletionAnswerSchema,
  chatCompletionSchema,
  openAiErrorOf,
  type Principal,
  type ServeRequest,
  textCompletionAnswerSchema,
  textCompletionSchema,
} from '@lowrank/contracts';
import { checkTokenQuota, findServable, type Ports } from '@lowrank/domain';
import { type FastifyReply } from 'fastify';
import { randomUUID } from 'node:crypto';
import { type IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { createZodDto } from 'nestjs-zod';
import { Action } from '../auth/action';
import { Caller } from '../auth/caller';
import { PORTS } from '../dependencies';
import { ApiOpenAiError } from '../openai/errors';
import { UsageRecorder } from '../usage/usage-recorder';
import { brokenOff, errorOf, Servers } from './servers';

class ChatCompletionDto extends createZodDto(chatCompletionSchema) {}
class TextCompletionDto extends createZodDto(textCompletionSchema) {}
class ChatCompletionAnswerDto extends createZodDto(chatCompletionAnswerSchema) {}
class TextCompletionAnswerDto extends createZodDto(textCompletionAnswerSchema) {}

/** Answers of adapters and base models, as OpenAI's API gives them. What generates them is apps/serve. */
@ApiTags('OpenAI')
@ApiOpenAiError()
@Controller('v1')
export class CompletionsController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly servers: Servers,
    private readonly usage: UsageRecorder,
  ) {}

  @Post('chat/completions')
  @Action('completions.generate')
  @ApiOperation({ summary: 'The next message of a conversation. With `stream`, as server-sent events.' })
  @HttpCode(200)
  @ApiOkResponse({ type: ChatCompletionAnswerDto, description: 'The answer.' })
  chat(@Caller() caller: Principal, @Body() body: ChatCompletionDto, @Res() reply: FastifyReply) {
    return this.complete(caller, { kind: 'chat', body }, reply);
  }

  @Post('completions')
  @Action('completions.generate')
  @ApiOperation({ summary: 'What follows a text. With `stream`, as server-sent events.' })
  @HttpCode(200)
  @ApiOkResponse({ type: TextCompletionAnswerDto, description: 'The answer.' })
  text(@Caller() caller: Principal, @Body() body: TextCompletionDto, @Res() reply: FastifyReply) {
    return this.complete(caller, { kind: 'text', body }, reply);
  }

  private async complete(
    { teamId, actor }: Principal,
    completion: ServeRequest['completion'],
    reply: FastifyReply,
  ): Promise<void> {
    const { target, name } = await this.ports.unitOfWork.look(async (repositories) => {
      const { model, lowrank } = completion.body;
      const servable = await findServable(repositories, teamId, model, lowrank?.mix);
      const unwritten = this.usage.unwritten(teamId);
      await checkTokenQuota(repositories, teamId, this.ports.clock.now(), unwritten);
      return servable;
    });
    const left = new AbortController();
    reply.raw.once('close', () => left.abort());
    const { answer, tokens } = await this.servers.complete(
      { teamId, target, completion },
      randomUUID(),
      left.signal,
    );
    this.usage.count({ teamId, actor, model: name }, tokens);
    if (answer.statusCode !== 200) {
      const after = answer.headers['retry-after'];
      if (after !== undefined) void reply.header('retry-after', after);
      throw await errorOf(answer);
    }
    void reply
      .status(200)
      .header('content-type', answer.headers['content-type'])
      .header('cache-control', 'no-store')
      .header('x-accel-buffering', 'no')
      .send(readable(answer, completion.body.stream === true));
  }
}

/**
 * What a client reads, and may stop reading: the answer itself is read to its end, which tells what it took. Where the server breaks off, a
 * stream's last event says so, as OpenAI's clients know it, and any other answer is cut.
 */
function readable(answer: IncomingMessage, isStream: boolean): PassThrough {
  const body = new PassThrough();
  body.once('close', () => {
    answer.unpipe(body);
    answer.resume();
  });
  answer.once('error', (error) => {
    if (body.destroyed) return;
    // Empty lines end an event that has come in part.
    if (isStream) body.end(`\n\ndata: ${JSON.stringify(openAiErrorOf(brokenOff(error)))}\n\n`);
    else body.destroy(error);
  });
  return answer.pipe(body);
}

import { createParamDecorator, ExecutionContext } from '@nestjs/common';
import { LowrankError, type Principal } from '@lowrank/contracts';
import { type FastifyRequest } from 'fastify';

const principalOf = (context: ExecutionContext): Principal => {
  const { principal } = context.switchToHttp().getRequest<FastifyRequest>();
  if (principal === null) throw new LowrankError('unauthorized', 'The request has no API key.');
  return principal;
};

/** On whose behalf the request is answered. */
export const Caller = createParamDecorator((_data: unknown, context: ExecutionContext) =>
  principalOf(context),
);

/** Id of the team whose resources the request may see. */
export const TeamId = createParamDecorator(
  (_data: unknown, context: ExecutionContext) => principalOf(context).teamId,
);

/** Who is told to have done it. */
export const Actor = createParamDecorator(
  (_data: unknown, context: ExecutionContext) => principalOf(context).actor.id,
);

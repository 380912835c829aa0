import {
  applyDecorators,
  CanActivate,
  createParamDecorator,
  ExecutionContext,
  Injectable,
  UseGuards,
} from '@nestjs/common';
import { type ApiKey, LowrankError } from '@lowrank/contracts';
import { type FastifyRequest } from 'fastify';

const keyOf = (context: ExecutionContext): ApiKey => {
  const { apiKey } = context.switchToHttp().getRequest<FastifyRequest>();
  if (apiKey === null) throw new LowrankError('unauthorized', 'The request has no API key.');
  return apiKey;
};

/** The API key that the request was authenticated with. */
export const Caller = createParamDecorator((_data: unknown, context: ExecutionContext) => keyOf(context));

/** Id of the team whose resources the request may see. */
export const TeamId = createParamDecorator(
  (_data: unknown, context: ExecutionContext) => keyOf(context).teamId,
);

/** Who is told to have done it: the id of the API key. */
export const Actor = createParamDecorator((_data: unknown, context: ExecutionContext) => keyOf(context).id);

@Injectable()
class AdminGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    if (keyOf(context).role !== 'admin') throw new LowrankError('forbidden', 'This needs an admin key.');
    return true;
  }
}

/** Routes for admin keys only: 403 for others. */
export const AdminOnly = () => applyDecorators(UseGuards(AdminGuard));

import { type UnitOfWork } from '@lowrank/domain';
import { type FastifyInstance } from 'fastify';
import { AsyncLocalStorage } from 'node:async_hooks';

const teamOfRequest = new AsyncLocalStorage<string>();
/** What is done on nobody's behalf sees nothing of any team. */
const noTeam = '';

/** What handlers do happens on behalf of the team of the request. Behind the body, whose events know nothing of the request. */
export function keepToTeams(fastify: FastifyInstance): void {
  fastify.addHook('preHandler', (request, _reply, done) =>
    teamOfRequest.run(request.principal?.teamId ?? noTeam, done),
  );
}

/** A unit of work that sees what the request may see that it is used for. */
export function ofRequests(unitOfWork: UnitOfWork): UnitOfWork {
  const own = () => unitOfWork.forTeam(teamOfRequest.getStore() ?? noTeam);
  return {
    run: (work) => own().run(work),
    runLightly: (work) => own().runLightly(work),
    look: (work) => own().look(work),
    read: (work) => own().read(work),
    forTeam: (teamId) => unitOfWork.forTeam(teamId),
    acrossTeams: unitOfWork.acrossTeams,
    exclusively: (lock, work) => unitOfWork.exclusively(lock, work),
    ping: () => unitOfWork.ping(),
    close: () => unitOfWork.close(),
  };
}

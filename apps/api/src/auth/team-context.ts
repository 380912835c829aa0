import { type Deed, type UnitOfWork } from '@lowrank/domain';
import { type FastifyInstance, type FastifyRequest } from 'fastify';
import { AsyncLocalStorage } from 'node:async_hooks';

const deeds = new AsyncLocalStorage<Deed | null>();
/** What is done on nobody's behalf sees nothing of any team. */
const noTeam = '';

/** Who asks for what; null: nobody whose team it could be about. */
function deedOf({ principal, routeOptions, id }: FastifyRequest): Deed | null {
  const { action } = routeOptions.config;
  if (principal === null || action === undefined) return null;
  return { teamId: principal.teamId, actor: principal.actor, action, requestId: id };
}

/** What handlers do happens on behalf of the team of the request. Behind the body, whose events know nothing of the request. */
export function keepToTeams(fastify: FastifyInstance): void {
  fastify.addHook('preHandler', (request, _reply, done) => deeds.run(deedOf(request), done));
}

/** A unit of work that sees what the request may see that it is used for, and writes down who asked for what it changes. */
export function ofRequests(unitOfWork: UnitOfWork): UnitOfWork {
  const own = () => {
    const deed = deeds.getStore() ?? null;
    return deed === null ? unitOfWork.forTeam(noTeam) : unitOfWork.forDeed(deed);
  };
  return {
    run: (work) => own().run(work),
    runLightly: (work) => own().runLightly(work),
    look: (work) => own().look(work),
    read: (work) => own().read(work),
    forTeam: (teamId) => unitOfWork.forTeam(teamId),
    forDeed: (deed) => unitOfWork.forDeed(deed),
    get acrossTeams() {
      return own().acrossTeams;
    },
    sharing: (lock, work) => unitOfWork.sharing(lock, work),
    exclusively: (lock, work) => unitOfWork.exclusively(lock, work),
    ping: () => unitOfWork.ping(),
    close: () => unitOfWork.close(),
  };
}

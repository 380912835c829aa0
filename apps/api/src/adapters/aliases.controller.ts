import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Put, Query } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  aliasNameSchema,
  aliasSchema,
  moveAliasSchema,
  namedAliasMoveSchema,
  nameSchema,
  pageSchema,
} from '@lowrank/contracts';
import { found, moveAlias, ownerOf, type Ports, removeAlias, rollBackAlias } from '@lowrank/domain';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { Actor, TeamId } from '../auth/caller';
import { PinKeeper } from '../completions/pin-keeper';
import { Prefetcher } from '../completions/prefetcher';
import { PORTS } from '../dependencies';
import { Answer } from '../http/answers';
import { placeInOrder } from '../http/paging';
import { AdapterParams, OwnerQuery } from './version-params';

class AliasDto extends createZodDto(aliasSchema) {}
class AliasListDto extends createZodDto(z.object({ data: z.array(aliasSchema) })) {}
class AliasMovePageDto extends createZodDto(pageSchema(namedAliasMoveSchema)) {}
class MoveAliasDto extends createZodDto(moveAliasSchema) {}
class AliasParams extends createZodDto(z.object({ name: nameSchema, alias: aliasNameSchema })) {}
class HistoryQuery extends createZodDto(
  z.object({
    before: placeInOrder.min(1).optional().describe('`seq` of the last move of the page before.'),
    limit: z.coerce.number().int().min(1).max(200).default(50),
  }),
) {}

@ApiTags('Adapters')
@Controller('api/v1/adapters/:name/aliases')
export class AliasesController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly prefetcher: Prefetcher,
    private readonly pins: PinKeeper,
  ) {}

  @Get()
  @Action('adapters.read')
  @ApiOperation({ summary: "List an adapter's aliases." })
  @Answer({ status: 200, type: AliasListDto, description: 'All aliases, by name.' })
  list(@TeamId() teamId: string, @Param() { name }: AdapterParams, @Query() { team }: OwnerQuery) {
    return this.ports.unitOfWork.look(async (repositories) => {
      const { adapters, aliases } = repositories;
      const owner = await ownerOf(repositories, teamId, name, team);
      found(await adapters.find(owner, name), 'adapter', name);
      return { data: await aliases.list(owner, name) };
    });
  }

  @Put(':alias')
  @Action('adapters.write')
  @ApiOperation({ summary: 'Let an alias stand on a version, making it if need be.' })
  @Answer({ status: 200, type: AliasDto, description: 'The alias as it is now.' })
  async move(
    @TeamId() teamId: string,
    @Actor() actor: string,
    @Param() { name, alias }: AliasParams,
    @Body() body: MoveAliasDto,
  ) {
    const moved = await moveAlias(this.ports, teamId, { adapter: name, alias, actor }, body);
    this.prefetcher.prefetch(teamId, `${name}@${alias}`);
    this.pins.tellSoon();
    return moved;
  }

  @Post(':alias/rollback')
  @Action('adapters.write')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Let an alias stand where it stood before its last move; again: one further back.',
  })
  @Answer({ status: 200, type: AliasDto, description: 'The alias as it is now.' })
  async rollBack(@TeamId() teamId: string, @Actor() actor: string, @Param() { name, alias }: AliasParams) {
    const moved = await rollBackAlias(this.ports, teamId, { adapter: name, alias, actor });
    this.prefetcher.prefetch(teamId, `${name}@${alias}`);
    this.pins.tellSoon();
    return moved;
  }

  @Delete(':alias')
  @Action('adapters.write')
  @HttpCode(204)
  @ApiOperation({ summary: 'Remove an alias. Its history stays.' })
  @ApiNoContentResponse({ description: 'Removed.' })
  remove(
    @TeamId() teamId: string,
    @Actor() actor: string,
    @Param() { name, alias }: AliasParams,
  ): Promise<void> {
    return removeAlias(this.ports, teamId, { adapter: name, alias, actor });
  }

  @Get(':alias/history')
  @Action('adapters.read')
  @ApiOperation({ summary: 'What became of an alias and by whom, newest first; of a removed one too.' })
  @Answer({ status: 200, type: AliasMovePageDto, description: 'One page.' })
  history(
    @TeamId() teamId: string,
    @Param() { name, alias }: AliasParams,
    @Query() { before, limit }: HistoryQuery,
  ) {
    return this.ports.unitOfWork.look(async ({ adapters, aliases, members, apiKeys }) => {
      found(await adapters.find(teamId, name), 'adapter', name);
      const moves = await aliases.moves(teamId, name, alias, { before, limit: limit + 1 });
      const actors = [...(await members.list(teamId)), ...(await apiKeys.list(teamId))];
      const names = new Map(actors.map((actor) => [actor.id, actor.name]));
      const data = moves.slice(0, limit).map((move) => ({ ...move, byName: names.get(move.by) ?? null }));
      return { data, hasMore: moves.length > limit };
    });
  }
}

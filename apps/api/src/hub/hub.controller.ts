import { Controller, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { type Principal } from '@lowrank/contracts';
import { found, type ObjectStore, type Ports } from '@lowrank/domain';
import { blobKey } from '@lowrank/storage';
import { type FastifyReply, type FastifyRequest } from 'fastify';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { Caller, TeamId } from '../auth/caller';
import { PORTS, STORE } from '../dependencies';
import { Answer } from '../http/answers';
import { ApiFileResponse, linkSeconds, StoredFiles } from '../http/stored-files';
import { HubNotFound } from './errors';
import { HubRepos, type RepoRef } from './repos';
import {
  isLarge,
  modelInfoOf,
  repoSchema,
  treeEntryOf,
  treeEntrySchema,
  whoamiOf,
  whoamiSchema,
} from './views';

/** Whatever else is asked for is not there, which is for the repositories to say. */
const repoParams = z.object({ owner: z.string().max(200), name: z.string().max(200) });
const revisionParams = repoParams.extend({ revision: z.string().max(200) });
class RepoParams extends createZodDto(repoParams) {}
class RevisionParams extends createZodDto(revisionParams) {}
class EntryParams extends createZodDto(revisionParams.extend({ path: z.string().max(500) })) {}
/** A base model of a folder has a name of one part. */
const folderParams = z.object({ name: z.string().max(200) });
const folderRevisionParams = folderParams.extend({ revision: z.string().max(200) });
class FolderParams extends createZodDto(folderParams) {}
class FolderRevisionParams extends createZodDto(folderRevisionParams) {}
class FolderEntryParams extends createZodDto(folderRevisionParams.extend({ path: z.string().max(500) })) {}
class InfoQuery extends createZodDto(z.object({ blobs: z.string().max(5).default('') })) {}
class TreeQuery extends createZodDto(
  z.object({
    cursor: z.string().max(200).optional(),
    limit: z.coerce.number().int().min(1).max(1000).default(1000),
  }),
) {}
class RepoDto extends createZodDto(repoSchema) {}
class TreeDto extends createZodDto(z.array(treeEntrySchema)) {}
class WhoamiDto extends createZodDto(whoamiSchema) {}

/** The part of Hugging Face's protocol that reads models, with the team's API key as the token. Everything is private. */
@ApiTags('Hugging Face hub')
@Controller()
export class HubController {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    private readonly repos: HubRepos,
    @Inject(STORE) private readonly store: ObjectStore,
    private readonly storedFiles: StoredFiles,
  ) {}

  @Get('api/whoami-v2')
  @Action('me.read')
  @ApiOperation({ summary: 'Whose token this is.' })
  @Answer({ status: 200, type: WhoamiDto, description: 'The API key, and its team as an organisation.' })
  async whoami(@Caller() principal: Principal) {
    const team = await this.ports.unitOfWork.look(({ teams }) => teams.find(principal.teamId));
    return whoamiOf(principal, found(team, 'team', principal.teamId));
  }

  @Get('api/models/:owner/:name')
  @Action('adapters.read')
  @ApiOperation({ summary: 'An adapter or base model, at its newest.' })
  @Answer({ status: 200, type: RepoDto, description: 'The repository.' })
  model(@TeamId() teamId: string, @Param() params: RepoParams, @Query() query: InfoQuery) {
    return this.modelAt(teamId, { ...params, revision: 'main' }, query);
  }

  @Get('api/models/:owner/:name/revision/:revision')
  @Action('adapters.read')
  @ApiOperation({ summary: 'An adapter or base model, at a version, alias or commit.' })
  @Answer({ status: 200, type: RepoDto, description: 'The repository.' })
  modelAt(@TeamId() teamId: string, @Param() params: RevisionParams, @Query() query: InfoQuery) {
    return this.info(teamId, params, query);
  }

  @Get('api/models/:name')
  @Action('adapters.read')
  @ApiOperation({ summary: 'A base model by the folder that it came from.' })
  @Answer({ status: 200, type: RepoDto, description: 'The repository.' })
  folderModel(@TeamId() teamId: string, @Param() { name }: FolderParams, @Query() query: InfoQuery) {
    return this.info(teamId, { owner: null, name, revision: 'main' }, query);
  }

  @Get('api/models/:name/revision/:revision')
  @Action('adapters.read')
  @ApiOperation({ summary: 'A base model by the folder that it came from, at a commit.' })
  @Answer({ status: 200, type: RepoDto, description: 'The repository.' })
  folderModelAt(@TeamId() teamId: string, @Param() params: FolderRevisionParams, @Query() query: InfoQuery) {
    return this.info(teamId, { owner: null, ...params }, query);
  }

  private async info(teamId: string, ref: RepoRef, { blobs }: InfoQuery) {
    return modelInfoOf(await this.repos.find(teamId, ref), /^(?:1|true)$/i.test(blobs));
  }

  @Get('api/models/:owner/:name/tree/:revision')
  @Action('adapters.read')
  @ApiOperation({ summary: 'The files of a repository. Link with rel="next" leads to the next page.' })
  @Answer({ status: 200, type: TreeDto, description: 'One page.' })
  tree(
    @TeamId() teamId: string,
    @Param() params: RevisionParams,
    @Query() query: TreeQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return this.files(teamId, params, query, request, reply);
  }

  private async files(
    teamId: string,
    ref: RepoRef,
    { cursor = '', limit }: TreeQuery,
    request: FastifyRequest,
    reply: FastifyReply,
  ) {
    const { files, sha } = await this.repos.find(teamId, ref);
    void reply.header('x-repo-commit', sha);
    const sorted = files.toSorted((a, b) => (a.path < b.path ? -1 : 1)).filter(({ path }) => path > cursor);
    const page = sorted.slice(0, limit);
    const last = page.at(-1);
    if (last !== undefined && sorted.length > limit) {
      const [path] = request.url.split('?');
      const query = new URLSearchParams({ limit: String(limit), cursor: last.path });
      void reply.header('link', `<${originOf(request)}${path}?${query}>; rel="next"`);
    }
    return page.map(treeEntryOf);
  }

  @Get('api/models/:name/tree/:revision')
  @Action('adapters.read')
  @ApiOperation({ summary: 'The files of a base model by the folder that it came from.' })
  @Answer({ status: 200, type: TreeDto, description: 'One page.' })
  folderTree(
    @TeamId() teamId: string,
    @Param() params: FolderRevisionParams,
    @Query() query: TreeQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return this.files(teamId, { owner: null, ...params }, query, request, reply);
  }

  @Get('api/models/:owner/:name/tree/:revision/:path')
  @Action('adapters.read')
  @ApiOperation({ summary: 'The files of a folder in a repository: there are no folders.' })
  @Answer({ status: 200, type: TreeDto, description: 'Never.' })
  async folder(@TeamId() teamId: string, @Param() { path, ...params }: EntryParams): Promise<never> {
    const { id } = await this.repos.find(teamId, params);
    throw new HubNotFound('EntryNotFound', `'${id}' has no folder '${path}'.`);
  }

  @Get(':owner/:name/resolve/:revision/:path')
  @Action('adapters.read')
  @ApiOperation({ summary: 'A file: itself, or where its weights are.' })
  @ApiFileResponse()
  @ApiResponse({ status: 302, description: 'Weights on S3: a link that needs no key and holds for an hour.' })
  async file(
    @TeamId() teamId: string,
    @Param() { path, ...params }: EntryParams,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.send(teamId, { ...params, path }, request, reply);
  }

  @Get(':name/resolve/:revision/:path')
  @Action('adapters.read')
  @ApiOperation({ summary: 'A file of a base model by the folder that it came from.' })
  @ApiFileResponse()
  @ApiResponse({ status: 302, description: 'Weights on S3: a link that needs no key and holds for an hour.' })
  async folderFile(
    @TeamId() teamId: string,
    @Param() params: FolderEntryParams,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.send(teamId, { owner: null, ...params }, request, reply);
  }

  private async send(
    teamId: string,
    { path, ...ref }: RepoRef & { path: string },
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    const { id, sha, files } = await this.repos.find(teamId, ref);
    void reply.header('x-repo-commit', sha);
    const file = files.find((one) => one.path === path);
    if (file === undefined) throw new HubNotFound('EntryNotFound', `'${id}' has no file '${path}'.`);
    const link = isLarge(file)
      ? await this.store.signedUrl(blobKey(file.sha256), { seconds: linkSeconds, filename: path })
      : null;
    // Where the store has no address of its own the file comes from here: a client follows no link to where it is already.
    if (link === null) return this.storedFiles.send(file, request, reply);
    void reply
      .status(302)
      .header('location', link)
      .header('cache-control', 'no-store')
      .header('x-linked-etag', `"${file.sha256}"`)
      .header('x-linked-size', file.bytes)
      .send();
  }
}

/** How the client reaches this server. */
const originOf = ({ protocol, host }: FastifyRequest): string => `${protocol}://${host}`;

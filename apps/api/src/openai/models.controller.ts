import { Controller, Get, Param } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { openAiModelSchema } from '@lowrank/contracts';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { Answer } from '../http/answers';
import { ApiOpenAiError } from './errors';
import { OpenAiModels } from './models';

const name = z.string().max(200);
class OpenAiModelDto extends createZodDto(openAiModelSchema) {}
class OpenAiModelListDto extends createZodDto(
  z.object({ object: z.literal('list'), data: z.array(openAiModelSchema) }),
) {}
class OpenAiModelParams extends createZodDto(z.object({ model: name })) {}
class OpenAiOwnedModelParams extends createZodDto(z.object({ owner: name, name })) {}

/** Base models and versions of adapters, as models of OpenAI's API. */
@ApiTags('OpenAI')
@ApiOpenAiError()
@Controller('v1/models')
export class OpenAiModelsController {
  constructor(private readonly models: OpenAiModels) {}

  @Get()
  @Action('adapters.read')
  @ApiOperation({ summary: 'List base models and versions of adapters, the newest 10,000 of each.' })
  @Answer({ status: 200, type: OpenAiModelListDto, description: 'All of them.' })
  async list(@TeamId() teamId: string) {
    return { object: 'list' as const, data: await this.models.list(teamId) };
  }

  @Get(':model')
  @Action('adapters.read')
  @ApiOperation({ summary: 'One model by its name, a slash in it written as %2F.' })
  @Answer({ status: 200, type: OpenAiModelDto, description: 'The model.' })
  get(@TeamId() teamId: string, @Param() { model }: OpenAiModelParams) {
    return this.models.find(teamId, model);
  }

  @Get(':owner/:name')
  @Action('adapters.read')
  @ApiOperation({ summary: 'One model by its name with a slash in it.' })
  @Answer({ status: 200, type: OpenAiModelDto, description: 'The model.' })
  getOwned(@TeamId() teamId: string, @Param() { owner, name }: OpenAiOwnedModelParams) {
    return this.models.find(teamId, `${owner}/${name}`);
  }
}

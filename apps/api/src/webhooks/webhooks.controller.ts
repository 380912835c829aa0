import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiNoContentResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { type Config } from '@lowrank/config';
import {
  changeWebhookSchema,
  createdWebhookSchema,
  createWebhookSchema,
  idSchema,
  pageQuerySchema,
  pageSchema,
  webhookDeliverySchema,
  webhookDeliveryStateSchema,
  webhookSchema,
} from '@lowrank/contracts';
import {
  changeWebhook,
  createWebhook,
  found,
  listDeliveries,
  type Ports,
  removeWebhook,
  replayDelivery,
  rotateWebhookSecret,
  testWebhook,
} from '@lowrank/domain';
import { AddressRules, checkOutboundUrl } from '@lowrank/outbound';
import { createZodDto } from 'nestjs-zod';
import { z } from 'zod';
import { Action } from '../auth/action';
import { TeamId } from '../auth/caller';
import { CONFIG, PORTS } from '../dependencies';
import { Answer } from '../http/answers';

class CreateWebhookDto extends createZodDto(createWebhookSchema) {}
class ChangeWebhookDto extends createZodDto(changeWebhookSchema) {}
class CreatedWebhookDto extends createZodDto(createdWebhookSchema) {}
class WebhookDto extends createZodDto(webhookSchema) {}
class WebhookListDto extends createZodDto(z.object({ data: z.array(webhookSchema) })) {}
class WebhookParams extends createZodDto(z.object({ id: idSchema('webhook') })) {}
class DeliveryParams extends createZodDto(
  z.object({ id: idSchema('webhook'), deliveryId: idSchema('delivery') }),
) {}
class DeliveryQuery extends createZodDto(
  pageQuerySchema.extend({ state: webhookDeliveryStateSchema.optional() }),
) {}
class DeliveryDto extends createZodDto(webhookDeliverySchema) {}
class DeliveryPageDto extends createZodDto(pageSchema(webhookDeliverySchema)) {}

@ApiTags('Webhooks')
@Controller('api/v1/webhooks')
export class WebhooksController {
  private readonly rules: AddressRules;

  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(CONFIG) config: Config,
  ) {
    this.rules = new AddressRules(config.webhookNetworks);
  }

  @Post()
  @Action('webhooks.write')
  @ApiOperation({
    summary:
      'Have moves of jobs told to a URL. The secret that signs them is shown this once. Admin keys only.',
  })
  @Answer({ status: 201, type: CreatedWebhookDto, description: 'The webhook and its secret.' })
  create(@TeamId() teamId: string, @Body() body: CreateWebhookDto) {
    checkOutboundUrl(body.url, this.rules);
    return createWebhook(this.ports, teamId, body);
  }

  @Get()
  @Action('webhooks.read')
  @ApiOperation({ summary: 'List webhooks, newest first. Admin keys only.' })
  @Answer({ status: 200, type: WebhookListDto, description: "All of the team's webhooks." })
  async list(@TeamId() teamId: string) {
    return { data: await this.ports.unitOfWork.look(({ webhooks }) => webhooks.list(teamId)) };
  }

  @Get(':id')
  @Action('webhooks.read')
  @ApiOperation({ summary: 'One webhook. Admin keys only.' })
  @Answer({ status: 200, type: WebhookDto, description: 'The webhook.' })
  get(@TeamId() teamId: string, @Param() { id }: WebhookParams) {
    return this.ports.unitOfWork.look(async ({ webhooks }) =>
      found(await webhooks.find(teamId, id), 'webhook', id),
    );
  }

  @Patch(':id')
  @Action('webhooks.write')
  @ApiOperation({ summary: "Change a webhook's URL, events or whether it is enabled. Admin keys only." })
  @Answer({ status: 200, type: WebhookDto, description: 'The webhook.' })
  change(@TeamId() teamId: string, @Param() { id }: WebhookParams, @Body() body: ChangeWebhookDto) {
    if (body.url !== undefined) checkOutboundUrl(body.url, this.rules);
    return changeWebhook(this.ports, teamId, id, body);
  }

  @Delete(':id')
  @Action('webhooks.write')
  @HttpCode(204)
  @ApiOperation({ summary: 'Remove a webhook and what it has yet to get. Admin keys only.' })
  @ApiNoContentResponse({ description: 'Removed.' })
  remove(@TeamId() teamId: string, @Param() { id }: WebhookParams): Promise<void> {
    return removeWebhook(this.ports, teamId, id);
  }

  @Post(':id/rotate-secret')
  @Action('webhooks.write')
  @HttpCode(200)
  @ApiOperation({
    summary:
      'Give a webhook a new secret, shown this once. For a day deliveries are signed with the one before too. Admin keys only.',
  })
  @Answer({ status: 200, type: CreatedWebhookDto, description: 'The webhook and its new secret.' })
  rotateSecret(@TeamId() teamId: string, @Param() { id }: WebhookParams) {
    return rotateWebhookSecret(this.ports, teamId, id);
  }

  @Post(':id/test')
  @Action('webhooks.write')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Send a delivery of type `webhook.test`, to see whether deliveries arrive. Admin keys only.',
  })
  @Answer({ status: 200, type: DeliveryDto, description: 'The delivery, pending.' })
  test(@TeamId() teamId: string, @Param() { id }: WebhookParams) {
    return testWebhook(this.ports, teamId, id);
  }

  @Get(':id/deliveries')
  @Action('webhooks.read')
  @ApiOperation({
    summary: 'List deliveries, newest first; `state=dead` for those given up. Admin keys only.',
  })
  @Answer({ status: 200, type: DeliveryPageDto, description: 'One page.' })
  deliveries(@TeamId() teamId: string, @Param() { id }: WebhookParams, @Query() query: DeliveryQuery) {
    return listDeliveries(this.ports, teamId, id, query);
  }

  @Post(':id/deliveries/:deliveryId/replay')
  @Action('webhooks.write')
  @HttpCode(200)
  @ApiOperation({ summary: 'Send a delivery again, with all its tries before it. Admin keys only.' })
  @Answer({ status: 200, type: DeliveryDto, description: 'The delivery, pending.' })
  replay(@TeamId() teamId: string, @Param() { id, deliveryId }: DeliveryParams) {
    return replayDelivery(this.ports, teamId, id, deliveryId);
  }
}

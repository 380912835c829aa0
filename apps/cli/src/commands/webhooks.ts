import {
  webhookDeliveryStateSchema,
  type WebhookDeliveryState,
  webhookEventTypeSchema,
} from '@lowrank/contracts';
import { type Command, Option } from 'commander';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../connect';
import { CliError } from '../errors';
import { formatAge, note, print, printTable } from '../terminal';

/** Longer than one try takes. */
const patienceMs = 20_000;

/** Webhooks and their deliveries; for admin keys. */
export function addWebhookCommands(program: Command): void {
  const webhooks = program.command('webhooks').description('have moves of jobs told to a URL');

  webhooks
    .command('list', { isDefault: true })
    .description('list webhooks, newest first')
    .action(async (_options, command: Command) => {
      const rows = (await connect(command).webhooks()).map(({ id, url, events, enabled, createdAt }) => [
        id,
        enabled ? 'enabled' : 'disabled',
        events.length === webhookEventTypeSchema.options.length ? 'all' : events.join(' '),
        formatAge(createdAt),
        url,
      ]);
      if (rows.length === 0) print('No webhooks. Make one with: lowrank webhooks add');
      else printTable(['WEBHOOK', 'STATE', 'EVENTS', 'MADE', 'URL'], rows);
    });

  webhooks
    .command('add')
    .description('make a webhook; the secret that signs its deliveries is shown this once')
    .argument('<url>', 'where deliveries are POSTed to')
    .addOption(
      new Option('--event <type...>', 'what it is told; default: everything').choices(
        webhookEventTypeSchema.options,
      ),
    )
    .action(async (url: string, { event }: { event?: string[] }, command: Command) => {
      const events = event && webhookEventTypeSchema.array().parse(event);
      const webhook = await connect(command).addWebhook({ url, events });
      note(`Webhook ${webhook.id}. Its secret, shown this once:`);
      print(webhook.secret);
    });

  webhooks
    .command('rotate-secret')
    .description('make a new secret, shown this once; for a day the one before signs deliveries too')
    .argument('<webhook>', 'id of the webhook')
    .action(async (id: string, _options, command: Command) => {
      const { secret } = await connect(command).rotateSecret(id);
      note(`Webhook ${id} has a new secret, shown this once:`);
      print(secret);
    });

  webhooks
    .command('test')
    .description('send a webhook a delivery of type webhook.test, and say whether it arrived')
    .argument('<webhook>', 'id of the webhook')
    .action(async (id: string, _options, command: Command) => {
      const api = connect(command);
      const sent = await api.testWebhook(id);
      for (const until = Date.now() + patienceMs; Date.now() < until; await sleep(500)) {
        const now = (await api.deliveries(id)).find((delivery) => delivery.id === sent.id);
        if (now?.state === 'delivered') return print(`Delivered: the answer was ${now.lastStatus}.`);
        if (now && now.lastError !== null)
          throw new CliError(`Delivery ${sent.id} did not arrive: ${now.lastError}`, {
            help: `It is tried again. See: lowrank webhooks deliveries ${id}`,
          });
      }
      throw new CliError(`Nobody has tried delivery ${sent.id} yet.`, {
        help: 'Workers send deliveries: is one running? See: lowrank workers',
      });
    });

  webhooks
    .command('remove')
    .description('remove a webhook and what it has yet to get')
    .argument('<webhook>', 'id of the webhook')
    .action(async (id: string, _options, command: Command) => {
      await connect(command).removeWebhook(id);
      print(`Webhook ${id} is removed.`);
    });

  webhooks
    .command('deliveries')
    .description('list the last deliveries of a webhook, newest first')
    .argument('<webhook>', 'id of the webhook')
    .addOption(
      new Option('--state <state>', 'only those that are in this state').choices(
        webhookDeliveryStateSchema.options,
      ),
    )
    .action(async (id: string, { state }: { state?: WebhookDeliveryState }, command: Command) => {
      const rows = (await connect(command).deliveries(id, state)).map((delivery) => [
        delivery.id,
        delivery.type,
        delivery.state,
        String(delivery.attempts),
        formatAge(delivery.createdAt),
        delivery.lastError ?? '',
      ]);
      if (rows.length === 0) print('No deliveries.');
      else printTable(['DELIVERY', 'EVENT', 'STATE', 'TRIES', 'MADE', 'TROUBLE'], rows);
    });

  webhooks
    .command('replay')
    .description('send a delivery again')
    .argument('<webhook>', 'id of the webhook')
    .argument('<delivery>', 'id of the delivery')
    .action(async (id: string, deliveryId: string, _options, command: Command) => {
      const { state } = await connect(command).replay(id, deliveryId);
      print(`Delivery ${deliveryId} is ${state}.`);
    });
}

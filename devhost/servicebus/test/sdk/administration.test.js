import { ServiceBusAdministrationClient } from '@azure/service-bus';
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Emulator, LIMIT, receiveOne } from './support.js';

describe('administration with the JavaScript SDK', { concurrency: 1 }, () => {
  const emulator = new Emulator({ declared: { MaxDeliveryCount: 4 } });
  let admin;
  before(async () => {
    await emulator.start();
    admin = new ServiceBusAdministrationClient(emulator.connectionString);
    // The client knows https only, which the emulator does not speak.
    admin.pipeline.addPolicy({
      name: 'plainHttp',
      sendRequest(request, next) {
        request.url = request.url.replace('https://', 'http://');
        request.allowInsecureConnection = true;
        return next(request);
      },
    });
  });
  after(() => emulator.close());

  it('makes, reads, lists and deletes queues', LIMIT, async () => {
    const created = await admin.createQueue('made', { lockDuration: 'PT30S', requiresSession: true });
    assert.deepEqual([created.name, created.lockDuration, created.requiresSession], ['made', 'PT30S', true]);
    assert.equal((await admin.getQueue('made')).maxDeliveryCount, 10);
    const names = [];
    for await (const { name } of admin.listQueues()) names.push(name);
    assert.deepEqual(names, ['declared', 'made']);
    assert.equal(await admin.queueExists('made'), true);
    await assert.rejects(admin.createQueue('made'), { statusCode: 409 });
    await admin.deleteQueue('made');
    assert.equal(await admin.queueExists('made'), false);
  });

  it('counts messages', LIMIT, async () => {
    const client = emulator.client();
    const [sender, receiver] = [client.createSender('declared'), client.createReceiver('declared')];
    await sender.sendMessages([{ body: 1 }, { body: 2 }]);
    await receiver.deadLetterMessage(await receiveOne(receiver));
    const counts = await admin.getQueueRuntimeProperties('declared');
    assert.deepEqual(
      [counts.activeMessageCount, counts.deadLetterMessageCount, counts.totalMessageCount],
      [1, 1, 2],
    );
  });
});

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Emulator, eventually, LIMIT, receive, receiveOne } from './support.js';

describe('the JavaScript SDK over restarts of the emulator', { concurrency: 1 }, () => {
  const emulator = new Emulator({ plain: {}, streamed: {}, sessions: { RequiresSession: true }, changed: {} });
  const patient = { retryOptions: { maxRetries: 50, retryDelayInMs: 100, maxRetryDelayInMs: 500, timeoutInMs: 10_000 } };
  before(() => emulator.start());
  after(() => emulator.close());

  const restart = async () => {
    await emulator.kill();
    await emulator.start();
  };

  it('sends and receives on with the same sender and receiver', LIMIT, async () => {
    const client = emulator.client(patient);
    const [sender, receiver] = [client.createSender('plain'), client.createReceiver('plain')];
    await sender.sendMessages([{ body: 'before' }, { body: 'locked' }]);
    await receiver.completeMessage(await receiveOne(receiver));
    await receiveOne(receiver);
    await restart();
    await sender.sendMessages({ body: 'after' });
    const messages = await receive(receiver, 2);
    assert.deepEqual(
      messages.map(({ body, deliveryCount }) => [body, deliveryCount]),
      [
        ['locked', 0],
        ['after', 0],
      ],
    );
    for (const message of messages) await receiver.completeMessage(message);
  });

  it('goes on with a subscription', LIMIT, async () => {
    const client = emulator.client(patient);
    const seen = [];
    const receiver = client.createReceiver('streamed');
    receiver.subscribe({
      processMessage: async ({ body }) => void seen.push(body),
      processError: async () => {},
    });
    const sender = client.createSender('streamed');
    await sender.sendMessages({ body: 'before' });
    await eventually(() => seen.includes('before'), 'the first message');
    await restart();
    await sender.sendMessages({ body: 'after' });
    await eventually(() => seen.includes('after'), 'the message after the restart');
  });

  it('frees a session whose holder is gone, and keeps its state', LIMIT, async () => {
    const client = emulator.client(patient);
    await client.createSender('sessions').sendMessages({ body: 'x', sessionId: 's' });
    const holder = await client.acceptSession('sessions', 's');
    await holder.setSessionState('half done');
    await receiveOne(holder);
    await restart();
    const next = await emulator.client(patient).acceptSession('sessions', 's');
    assert.equal(await next.getSessionState(), 'half done');
    assert.equal((await receiveOne(next)).body, 'x');
  });

  it('keeps changed properties and given ids over a crash', LIMIT, async () => {
    const client = emulator.client(patient);
    const [sender, receiver] = [client.createSender('changed'), client.createReceiver('changed')];
    await sender.sendMessages([{ body: 'abandoned' }, { body: 'buried' }]);
    const [abandoned, buried] = await receive(receiver, 2);
    await receiver.abandonMessage(abandoned, { attempt: 1 });
    await receiver.deadLetterMessage(buried, { deadLetterReason: 'r', custom: 1 });
    await restart();
    const again = await receiveOne(receiver);
    assert.deepEqual([again.deliveryCount, again.applicationProperties], [1, { attempt: 1 }]);
    assert.equal(again.messageId, abandoned.messageId);
    const dead = await receiveOne(client.createReceiver('changed', { subQueueType: 'deadLetter' }));
    assert.deepEqual([dead.deadLetterReason, dead.applicationProperties.custom], ['r', 1]);
  });
});

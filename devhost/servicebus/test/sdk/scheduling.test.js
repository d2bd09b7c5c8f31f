import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Emulator, eventually, LIMIT, receive, receiveOne } from './support.js';

describe('scheduling, expiry and duplicates with the JavaScript SDK', { concurrency: 1 }, () => {
  const emulator = new Emulator({
    plain: {},
    cancelled: {},
    peeked: {},
    sessions: { RequiresSession: true },
    expiring: { DefaultMessageTimeToLive: 'PT1S', DeadLetteringOnMessageExpiration: true },
    deduplicating: { RequiresDuplicateDetection: true },
  });
  let client;
  before(async () => {
    await emulator.start();
    client = emulator.client();
  });
  after(() => emulator.close());

  it('delivers a scheduled message when it is due, not before', LIMIT, async () => {
    const [sender, receiver] = [client.createSender('plain'), client.createReceiver('plain')];
    const due = new Date(Date.now() + 1_500);
    const [number] = await sender.scheduleMessages({ body: 'later' }, due);
    await sender.sendMessages({ body: 'now' });
    const arrived = {}; // in either order: on a busy machine the message may be due before the first is received
    for (let count = 0; count < 2; count += 1) {
      const message = await receiveOne(receiver);
      arrived[message.body] = { message, at: Date.now() };
    }
    assert.deepEqual(Object.keys(arrived).sort(), ['later', 'now']);
    assert.ok(arrived.later.at >= due.getTime() - 5);
    assert.ok(arrived.later.message.sequenceNumber.toNumber() > number.toNumber());
  });

  it('schedules into a session', LIMIT, async () => {
    const due = new Date(Date.now() + 800);
    await client.createSender('sessions').scheduleMessages([{ body: 'later', sessionId: 's' }], due);
    const receiver = await client.acceptNextSession('sessions');
    assert.deepEqual([receiver.sessionId, (await receiveOne(receiver)).body], ['s', 'later']);
  });

  it('withdraws scheduled messages', LIMIT, async () => {
    const [sender, receiver] = [client.createSender('cancelled'), client.createReceiver('cancelled')];
    const numbers = await sender.scheduleMessages([{ body: 'a' }, { body: 'b' }], new Date(Date.now() + 60_000));
    await sender.cancelScheduledMessages(numbers[0]);
    assert.deepEqual((await receiver.peekMessages(5)).map(({ body, state }) => [body, state]), [['b', 'scheduled']]);
    await assert.rejects(sender.cancelScheduledMessages(numbers[0]), { code: 'MessageNotFound' });
  });

  it('shows messages in every state and locks none', LIMIT, async () => {
    const [sender, receiver] = [client.createSender('peeked'), client.createReceiver('peeked')];
    await sender.sendMessages(['deferred', 'locked', 'active'].map((body) => ({ body })));
    await sender.scheduleMessages({ body: 'scheduled' }, new Date(Date.now() + 60_000));
    const [deferred] = await receive(receiver, 2);
    await receiver.deferMessage(deferred);
    const seen = await receiver.peekMessages(10);
    assert.deepEqual(
      seen.map(({ body, state }) => [body, state]),
      [
        ['deferred', 'deferred'],
        ['locked', 'active'],
        ['active', 'active'],
        ['scheduled', 'scheduled'],
      ],
    );
    assert.equal((await receiveOne(receiver)).body, 'active');
  });

  it('moves an expired message to the dead letters', LIMIT, async () => {
    await client.createSender('expiring').sendMessages({ body: 'x', timeToLive: 50 });
    const dead = await receiveOne(client.createReceiver('expiring', { subQueueType: 'deadLetter' }));
    assert.deepEqual([dead.body, dead.deadLetterReason], ['x', 'TTLExpiredException']);
  });

  it('drops duplicates, but never takes messages without an id for each other', LIMIT, async () => {
    const [sender, receiver] = [client.createSender('deduplicating'), client.createReceiver('deduplicating')];
    for (const messageId of ['same', 'same', undefined, undefined]) await sender.sendMessages({ body: 'x', messageId });
    const messages = await receive(receiver, 3);
    assert.equal(messages.filter(({ messageId }) => messageId === 'same').length, 1);
    for (const message of messages) await receiver.completeMessage(message);
    const left = await eventually(async () => [await receiver.peekMessages(1)], 'an answer');
    assert.deepEqual(left, [[]]);
  });
});

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Emulator, eventually, LIMIT, receive, receiveOne } from './support.js';

const MAX_DELIVERIES = 3;

describe('settling with the JavaScript SDK', { concurrency: 1 }, () => {
  const names = Array.from({ length: 16 }, (_, number) => `q${number}`);
  const emulator = new Emulator({
    ...Object.fromEntries(names.map((name) => [name, { MaxDeliveryCount: MAX_DELIVERIES }])),
    brief: { LockDuration: 'PT2S' },
  });
  let client;
  before(async () => {
    await emulator.start();
    client = emulator.client();
  });
  after(() => emulator.close());

  /** A queue that no other test uses, with a sender and receivers. */
  const open = (name = names.pop(), options = {}) => ({
    name,
    sender: client.createSender(name),
    receiver: client.createReceiver(name, options),
    deadLetters: client.createReceiver(name, { subQueueType: 'deadLetter' }),
  });
  const isEmpty = async (receiver) => (await receiver.peekMessages(1, { fromSequenceNumber: undefined })).length === 0;

  it('completes', LIMIT, async () => {
    const { sender, receiver } = open();
    await sender.sendMessages({ body: { text: 'é' }, applicationProperties: { number: 1.5, flag: true } });
    const message = await receiveOne(receiver);
    assert.deepEqual(message.body, { text: 'é' });
    assert.deepEqual(message.applicationProperties, { number: 1.5, flag: true });
    await receiver.completeMessage(message);
    assert.ok(await isEmpty(receiver));
  });

  it('abandons, which counts as a delivery until the message is a dead letter', LIMIT, async () => {
    const { sender, receiver, deadLetters } = open();
    await sender.sendMessages({ body: 'x' });
    for (let count = 0; count < MAX_DELIVERIES; count += 1) {
      const message = await receiveOne(receiver);
      assert.equal(message.deliveryCount, count);
      await receiver.abandonMessage(message);
    }
    const dead = await receiveOne(deadLetters);
    assert.equal(dead.deadLetterReason, 'MaxDeliveryCountExceeded');
    assert.equal(dead.deliveryCount, MAX_DELIVERIES);
    await deadLetters.completeMessage(dead);
  });

  it('ends the attempts of a handler that always throws', LIMIT, async () => {
    const { sender, receiver, deadLetters } = open();
    await sender.sendMessages({ body: 'poison' });
    let attempts = 0;
    const subscription = receiver.subscribe({
      processMessage: async () => {
        attempts += 1;
        throw new Error('this handler always fails');
      },
      processError: async () => {},
    });
    const dead = await receiveOne(deadLetters);
    await subscription.close();
    assert.equal(dead.body, 'poison');
    assert.equal(attempts, MAX_DELIVERIES);
  });

  it('abandons with changed properties, which the next receiver sees', LIMIT, async () => {
    const { sender, receiver } = open();
    await sender.sendMessages({ body: 'x', applicationProperties: { kept: 1, changed: 'old' } });
    const at = new Date(1_700_000_000_000);
    await receiver.abandonMessage(await receiveOne(receiver), { changed: 'new', attempt: 1, ratio: 0.5, at });
    const again = await receiveOne(receiver);
    assert.equal(again.deliveryCount, 1);
    const expected = { kept: 1, changed: 'new', attempt: 1, ratio: 0.5, at: at.getTime() };
    assert.deepEqual(again.applicationProperties, expected);
    await receiver.completeMessage(again);
  });

  it('defers with changed properties, and settles the deferred message in every way', LIMIT, async () => {
    const { sender, receiver, deadLetters } = open();
    await sender.sendMessages(['complete', 'abandon', 'defer', 'bury', 'bury plainly'].map((body) => ({ body })));
    const numbers = [];
    for (const message of await receive(receiver, 5)) {
      numbers.push(message.sequenceNumber);
      await receiver.deferMessage(message, { deferred: true });
    }
    const [complete, abandon, defer, bury, plainly] = await receiver.receiveDeferredMessages(numbers);
    assert.deepEqual(complete.applicationProperties, { deferred: true });
    await receiver.completeMessage(complete);
    await receiver.abandonMessage(abandon, { abandoned: 'yes' });
    await receiver.deferMessage(defer, { deferred: false });
    await receiver.deadLetterMessage(bury, { deadLetterReason: 'r', deadLetterErrorDescription: 'd', custom: 7 });
    await receiver.deadLetterMessage(plainly);

    const left = await receiver.receiveDeferredMessages([numbers[1], numbers[2]]);
    assert.deepEqual(
      left.map(({ body, deliveryCount, applicationProperties }) => [body, deliveryCount, applicationProperties]),
      [
        ['abandon', 1, { deferred: true, abandoned: 'yes' }],
        ['defer', 0, { deferred: false }],
      ],
    );
    const [dead, bare] = await receive(deadLetters, 2);
    assert.deepEqual([dead.body, dead.deadLetterReason, dead.deadLetterErrorDescription], ['bury', 'r', 'd']);
    assert.equal(dead.applicationProperties.custom, 7);
    assert.deepEqual([bare.body, bare.deadLetterReason], ['bury plainly', undefined]);
    await assert.rejects(receiver.receiveDeferredMessages([numbers[0]]), { code: 'MessageNotFound' });
  });

  it('dead-letters with a reason, a description and custom properties', LIMIT, async () => {
    const { sender, receiver, deadLetters } = open();
    await sender.sendMessages({ body: 'x', applicationProperties: { kept: 'k' } });
    await receiver.deadLetterMessage(await receiveOne(receiver), {
      deadLetterReason: 'poison',
      deadLetterErrorDescription: 'does not parse',
      line: 12,
      parser: 'json',
    });
    const dead = await receiveOne(deadLetters);
    assert.deepEqual([dead.deadLetterReason, dead.deadLetterErrorDescription], ['poison', 'does not parse']);
    const { kept, line, parser } = dead.applicationProperties;
    assert.deepEqual({ kept, line, parser }, { kept: 'k', line: 12, parser: 'json' });
    await deadLetters.completeMessage(dead);
    assert.ok(await isEmpty(deadLetters));
  });

  it('refuses to dead-letter a dead letter, and changes nothing', LIMIT, async () => {
    const { sender, receiver, deadLetters } = open();
    await sender.sendMessages({ body: 'x' });
    await receiver.deadLetterMessage(await receiveOne(receiver), { deadLetterReason: 'first' });
    await assert.rejects(deadLetters.deadLetterMessage(await receiveOne(deadLetters), { custom: 1 }));
    const [dead] = await deadLetters.peekMessages(1);
    assert.equal(dead.deadLetterReason, 'first');
    assert.equal('custom' in dead.applicationProperties, false);
  });

  it('refuses a lock that was lost', LIMIT, async () => {
    const { sender, receiver } = open('brief', { maxAutoLockRenewalDurationInMs: 0 });
    await sender.sendMessages({ body: 'x' });
    const held = await receiveOne(receiver);
    const again = await receiveOne(client.createReceiver('brief'));
    assert.equal(again.deliveryCount, 1);
    await assert.rejects(receiver.completeMessage(held), { code: 'MessageLockLost' });
  });

  it('settles messages without an id beside automatic lock renewal', LIMIT, async () => {
    const { sender, receiver } = open(names.pop(), { maxAutoLockRenewalDurationInMs: 300_000 });
    await sender.sendMessages([{ body: 'a' }, { body: 'b' }]);
    const messages = await receive(receiver, 2);
    assert.match(messages[0].messageId, /^[0-9a-f]{32}$/);
    assert.notEqual(messages[0].messageId, messages[1].messageId);
    await receiver.abandonMessage(messages[0]);
    const again = await receiveOne(receiver);
    assert.equal(again.messageId, messages[0].messageId, 'an id stays the same over deliveries');
    for (const message of [again, messages[1]]) await receiver.completeMessage(message);
    assert.ok(await isEmpty(receiver));
  });

  it('renews a lock', LIMIT, async () => {
    const { sender, receiver } = open();
    await sender.sendMessages({ body: 'x' });
    const message = await receiveOne(receiver);
    const before = message.lockedUntilUtc;
    assert.ok((await receiver.renewMessageLock(message)) >= before);
    await receiver.completeMessage(message);
  });

  it('receives and deletes', LIMIT, async () => {
    const { sender, receiver } = open(names.pop(), { receiveMode: 'receiveAndDelete' });
    await sender.sendMessages([{ body: 1 }, { body: 2 }]);
    assert.deepEqual((await receive(receiver, 2)).map(({ body }) => body), [1, 2]);
    assert.ok(await isEmpty(receiver));
  });

  it('hands on bodies of every kind', LIMIT, async () => {
    const { sender, receiver } = open();
    const bodies = [null, 'text', 1.5, true, [1, 'two'], { a: { b: [] } }, Buffer.from([0, 255])];
    for (const body of bodies) await sender.sendMessages({ body });
    await sender.sendMessages({ bodyType: 'value', body: { key: 'value' } });
    await sender.sendMessages({ bodyType: 'sequence', body: [[1, 2], [3]] });
    const received = (await receive(receiver, bodies.length + 2)).map(({ body }) => body);
    assert.deepEqual(received, [...bodies, { key: 'value' }, [[1, 2], [3]]]);
  });

  it('takes a batch whole', LIMIT, async () => {
    const { sender, receiver } = open();
    const batch = await sender.createMessageBatch();
    for (let number = 0; number < 50; number += 1) assert.ok(batch.tryAddMessage({ body: number }));
    await sender.sendMessages(batch);
    const messages = await receive(receiver, 50);
    assert.deepEqual(messages.map(({ body }) => body), Array.from({ length: 50 }, (_, number) => number));
    await Promise.all(messages.map((message) => receiver.completeMessage(message)));
    assert.ok(await isEmpty(receiver));
  });

  it('gives back what a closed receiver had not seen, uncounted', LIMIT, async () => {
    const { name, sender, receiver } = open();
    await sender.sendMessages([{ body: 1 }, { body: 2 }]);
    await receive(receiver, 2);
    await receiver.close();
    const other = client.createReceiver(name);
    const again = await eventually(async () => {
      const [first] = await other.peekMessages(1, { fromSequenceNumber: undefined });
      return first;
    }, 'the messages are there');
    assert.equal(again.body, 1);
  });
});

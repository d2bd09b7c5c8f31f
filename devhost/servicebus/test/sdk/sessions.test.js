import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Emulator, eventually, LIMIT, receive, receiveOne } from './support.js';

const SESSIONS = { RequiresSession: true, MaxDeliveryCount: 3 };

describe('sessions with the JavaScript SDK', { concurrency: 1 }, () => {
  const names = Array.from({ length: 12 }, (_, number) => `s${number}`);
  const emulator = new Emulator({
    ...Object.fromEntries(names.map((name) => [name, SESSIONS])),
    brief: { ...SESSIONS, LockDuration: 'PT2S' },
    plain: {},
  });
  let client;
  before(async () => {
    await emulator.start();
    client = emulator.client({ retryOptions: { maxRetries: 0, timeoutInMs: 20_000 } });
  });
  after(() => emulator.close());

  const sent = async (name, ...messages) => {
    const sender = client.createSender(name);
    await sender.sendMessages(messages.map(([sessionId, body]) => ({ sessionId, body })));
    await sender.close();
    return name;
  };

  it('accepts the next session and the one named, each with its messages in order', LIMIT, async () => {
    const name = await sent(names.pop(), ['a', 1], ['b', 2], ['a', 3]);
    const next = await client.acceptNextSession(name);
    const named = await client.acceptSession(name, 'b');
    assert.deepEqual([next.sessionId, named.sessionId], ['a', 'b']);
    assert.deepEqual((await receive(next, 2)).map(({ body }) => body), [1, 3]);
    assert.equal((await receiveOne(named)).body, 2);
  });

  it('keeps a held session from others until it is closed', LIMIT, async () => {
    const name = await sent(names.pop(), ['a', 1]);
    const holder = await client.acceptSession(name, 'a');
    await assert.rejects(client.acceptSession(name, 'a'), { code: 'SessionCannotBeLocked' });
    await holder.close();
    const other = await client.acceptSession(name, 'a');
    assert.equal((await receiveOne(other)).deliveryCount, 0);
  });

  it('says that no session is there', LIMIT, async () => {
    const impatient = emulator.client({ retryOptions: { maxRetries: 0, timeoutInMs: 1_000 } });
    await assert.rejects(impatient.acceptNextSession(names.pop()), { code: 'ServiceTimeout' });
  });

  it('hands a session to one who was waiting for it', LIMIT, async () => {
    const name = names.pop();
    const waiting = client.acceptNextSession(name);
    await sent(name, ['late', 1]);
    const receiver = await waiting;
    assert.equal(receiver.sessionId, 'late');
    assert.equal((await receiveOne(receiver)).body, 1);
  });

  it('stores a state, renews its lock, and lists nothing of other sessions', LIMIT, async () => {
    const name = await sent(names.pop(), ['a', 1], ['b', 2]);
    const receiver = await client.acceptSession(name, 'a');
    assert.equal(await receiver.getSessionState(), null);
    await receiver.setSessionState({ step: 2 });
    assert.deepEqual(await receiver.getSessionState(), { step: 2 });
    const until = receiver.sessionLockedUntilUtc;
    assert.ok((await receiver.renewSessionLock()) >= until);
    assert.deepEqual((await receiver.peekMessages(5)).map(({ body }) => body), [1]);
    await receiver.setSessionState(null);
    assert.equal(await receiver.getSessionState(), null);
  });

  it('settles in every way', LIMIT, async () => {
    const name = await sent(names.pop(), ...['complete', 'defer', 'bury', 'abandon'].map((body) => ['s', body]));
    const receiver = await client.acceptSession(name, 's');
    const [complete, defer, bury, abandon] = await receive(receiver, 4);
    await receiver.completeMessage(complete);
    await receiver.deferMessage(defer, { why: 'later' });
    await receiver.deadLetterMessage(bury, { deadLetterReason: 'r', custom: true });
    await receiver.abandonMessage(abandon, { try: 2 });
    const [deferred] = await receiver.receiveDeferredMessages([defer.sequenceNumber]);
    assert.equal(deferred.applicationProperties.why, 'later');
    await receiver.deadLetterMessage(deferred, { deadLetterReason: 'deferred too long' });
    const again = await receiveOne(receiver);
    assert.deepEqual([again.body, again.deliveryCount, again.applicationProperties], ['abandon', 1, { try: 2 }]);
    await receiver.completeMessage(again);
    const dead = await receive(client.createReceiver(name, { subQueueType: 'deadLetter' }), 2);
    assert.deepEqual(
      dead.map(({ body, sessionId, deadLetterReason }) => [body, sessionId, deadLetterReason]).sort(),
      [
        ['bury', 's', 'r'],
        ['defer', 's', 'deferred too long'],
      ],
    );
  });

  it('loses an expired session, whose messages are counted', LIMIT, async () => {
    await sent('brief', ['a', 1]);
    const holder = await client.acceptSession('brief', 'a', { maxAutoLockRenewalDurationInMs: 0 });
    const held = await receiveOne(holder);
    const next = await eventually(
      () => client.acceptSession('brief', 'a').catch(() => undefined),
      'the session is free again',
    );
    await assert.rejects(holder.completeMessage(held), { code: 'SessionLockLost' });
    assert.equal((await receiveOne(next)).deliveryCount, 1);
  });

  it('keeps a session by automatic renewal for longer than its lock', LIMIT, async () => {
    await sent('brief', ['kept', 1]);
    const holder = await client.acceptSession('brief', 'kept', { maxAutoLockRenewalDurationInMs: 60_000 });
    const message = await receiveOne(holder);
    const first = holder.sessionLockedUntilUtc.getTime();
    await eventually(() => Date.now() > first + 500, 'the first lock would have ended');
    await holder.completeMessage(message);
  });

  it('refuses what does not fit the queue', LIMIT, async () => {
    const name = names.pop();
    await assert.rejects(client.createSender(name).sendMessages({ body: 'x' }), /SessionId was not set/);
    await assert.rejects(client.acceptSession('plain', 'a'));
    await assert.rejects(client.createReceiver(name).receiveMessages(1, { maxWaitTimeInMs: 5_000 }), /non-sessionful/);
  });

  it('serves many sessions on one connection, one after another and side by side', LIMIT, async () => {
    const name = names.pop();
    const ids = Array.from({ length: 60 }, (_, number) => `session ${number}`);
    await sent(name, ...ids.map((id) => [id, id]));
    const drain = async (receiver) => {
      const message = await receiveOne(receiver);
      assert.equal(message.body, receiver.sessionId);
      await receiver.completeMessage(message);
      await receiver.close();
      return receiver.sessionId;
    };
    const seen = [];
    for (let count = 0; count < 20; count += 1) seen.push(await drain(await client.acceptNextSession(name)));
    const others = Array.from({ length: 40 }, async () => drain(await client.acceptNextSession(name)));
    seen.push(...(await Promise.all(others)));
    assert.deepEqual(seen.sort(), ids.sort());
  });
});

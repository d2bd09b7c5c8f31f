import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { peek, sessionIds } from '../broker/browse.js';
import { Queue } from '../broker/queue.js';

const LOCK_MS = 60_000;

/** A queue at time 0 with what the tests need to look at. */
function makeQueue(overrides = {}) {
  const properties = {
    name: 'q',
    requiresSession: false,
    lockDurationMs: LOCK_MS,
    maxDeliveryCount: 3,
    defaultTtlMs: Infinity,
    duplicateWindowMs: 0,
    deadLetterOnExpiry: false,
    ...overrides,
  };
  const records = [];
  const write = (record) => records.push(record);
  const deadLetters = new Queue({ ...properties, requiresSession: false, name: 'q/$DeadLetterQueue' }, write, null);
  return { queue: new Queue(properties, write, deadLetters), deadLetters, records };
}

const draft = (overrides = {}) => ({
  messageId: null,
  sessionId: null,
  ttlMs: Infinity,
  scheduledFor: null,
  payload: Buffer.from('x'),
  ...overrides,
});

const condition = (name) => (error) => error.condition === name;
const token = (message) => message.lock.token;

describe('peek-lock', () => {
  it('hides a locked message until its lock expires, and counts the expiry', () => {
    const { queue } = makeQueue();
    queue.send([draft()], 0);
    assert.equal(queue.receive(0).deliveryCount, 0);
    queue.advance(LOCK_MS - 1);
    assert.equal(queue.receive(LOCK_MS - 1), undefined);
    queue.advance(LOCK_MS);
    assert.equal(queue.receive(LOCK_MS).deliveryCount, 1);
  });

  it('keeps a renewed lock, and refuses a token whose lock expired', () => {
    const { queue } = makeQueue();
    queue.send([draft()], 0);
    const lock = token(queue.receive(0));
    assert.equal(queue.renewMessageLock(lock, LOCK_MS - 1), 2 * LOCK_MS - 1);
    queue.advance(LOCK_MS);
    assert.equal(queue.receive(LOCK_MS), undefined);
    queue.advance(2 * LOCK_MS - 1);
    assert.throws(() => queue.complete(lock), condition('com.microsoft:message-lock-lost'));
  });

  it('gives an abandoned message back before all later ones', () => {
    const { queue } = makeQueue();
    queue.send([draft(), draft(), draft()], 0);
    const [first, second] = [queue.receive(0), queue.receive(0)];
    queue.abandon(token(second), 0);
    queue.abandon(token(first), 0);
    const order = [1, 2, 3].map(() => queue.receive(0).sequenceNumber);
    assert.deepEqual(order, [1, 2, 3]);
  });

  it('does not count a released delivery', () => {
    const { queue } = makeQueue();
    queue.send([draft()], 0);
    queue.release(token(queue.receive(0)), 0);
    assert.equal(queue.receive(0).deliveryCount, 0);
  });

  it('dead-letters a message after the maximum of failed deliveries', () => {
    const { queue, deadLetters } = makeQueue();
    queue.send([draft()], 0);
    for (let attempt = 0; attempt < 3; attempt += 1) queue.abandon(token(queue.receive(0)), 0);
    assert.equal(queue.receive(0), undefined);
    const dead = deadLetters.receive(0);
    assert.equal(dead.deadLetter.reason, 'MaxDeliveryCountExceeded');
    assert.equal(dead.deliveryCount, 3);
  });

  it('refuses to dead-letter a message of the dead-letter queue, and keeps it locked', () => {
    const { queue, deadLetters } = makeQueue();
    queue.send([draft()], 0);
    queue.deadLetter(token(queue.receive(0)), { reason: 'bad', description: null }, 0);
    const dead = deadLetters.receive(0);
    assert.throws(
      () => deadLetters.deadLetter(token(dead), { reason: null, description: null }, 0),
      condition('amqp:not-allowed'),
    );
    deadLetters.complete(token(dead));
    assert.equal(deadLetters.store.messages.size, 0);
  });
});

describe('deferred messages', () => {
  it('come back only by number, and stay deferred when given back', () => {
    const { queue } = makeQueue();
    queue.send([draft()], 0);
    queue.defer(token(queue.receive(0)), 0);
    assert.equal(queue.receive(0), undefined);
    queue.abandon(token(queue.receiveDeferred([1], 0)[0]), 0);
    assert.equal(queue.receive(0), undefined);
    assert.equal(queue.receiveDeferred([1], 0)[0].deliveryCount, 1);
  });

  it('are not found when they are locked, unknown or not deferred; then none is locked', () => {
    const { queue } = makeQueue();
    queue.send([draft(), draft()], 0);
    queue.defer(token(queue.receive(0)), 0);
    assert.throws(() => queue.receiveDeferred([1, 2], 0), condition('com.microsoft:message-not-found'));
    assert.equal(queue.receiveDeferred([1], 0).length, 1);
    assert.throws(() => queue.receiveDeferred([1], 0), condition('com.microsoft:message-not-found'));
  });
});

describe('scheduled messages', () => {
  it('become active at their time, with a new sequence number and a time to live from then on', () => {
    const { queue } = makeQueue({ defaultTtlMs: 1_000 });
    queue.send([draft({ scheduledFor: 5_000 }), draft()], 0);
    assert.equal(queue.nextDeadline, 1_000);
    queue.advance(4_999);
    assert.equal(queue.receive(4_999), undefined);
    queue.advance(5_000);
    const message = queue.receive(5_000);
    assert.deepEqual([message.sequenceNumber, message.enqueuedAt, message.expiresAt], [3, 5_000, 6_000]);
  });

  it('can be cancelled, all or none', () => {
    const { queue } = makeQueue();
    queue.send([draft({ scheduledFor: 5_000 }), draft()], 0);
    assert.throws(() => queue.cancelScheduled([1, 2]), condition('com.microsoft:message-not-found'));
    queue.cancelScheduled([1]);
    assert.equal(queue.store.messages.size, 1);
    assert.equal(queue.nextDeadline, Infinity);
  });
});

describe('expiry', () => {
  it('removes what nobody received in time, but not what is locked', () => {
    const { queue } = makeQueue();
    queue.send([draft({ ttlMs: 1_000 }), draft({ ttlMs: 1_000 })], 0);
    const held = queue.receive(0);
    queue.advance(1_000);
    assert.equal(queue.store.messages.size, 1);
    queue.abandon(token(held), 1_000);
    assert.equal(queue.store.messages.size, 0);
  });

  it("dead-letters instead when the queue is told to, and caps a sender's time to live", () => {
    const { queue, deadLetters } = makeQueue({ defaultTtlMs: 500, deadLetterOnExpiry: true });
    queue.send([draft({ ttlMs: 10_000 })], 0);
    queue.advance(500);
    assert.equal(deadLetters.receive(500).deadLetter.reason, 'TTLExpiredException');
  });
});

describe('duplicate detection', () => {
  it('drops a repeated id within the window and answers with the first number', () => {
    const { queue } = makeQueue({ duplicateWindowMs: 1_000 });
    assert.deepEqual(queue.send([draft({ messageId: 'a' }), draft({ messageId: 'a' }), draft()], 0), [1, 1, 2]);
    queue.complete(token(queue.receive(0)));
    assert.deepEqual(queue.send([draft({ messageId: 'a' })], 999), [1]);
    assert.deepEqual(queue.send([draft({ messageId: 'a' })], 1_000), [3]);
  });
});

describe('sessions', () => {
  const sessionQueue = () => makeQueue({ requiresSession: true });
  const accept = (queue, id, now = 0) => queue.acceptSession(id, {}, now);

  it('refuse a batch with a message that has no session, and keep none of it', () => {
    const { queue } = sessionQueue();
    assert.throws(() => queue.send([draft({ sessionId: 'a' }), draft()], 0), condition('amqp:not-allowed'));
    assert.equal(queue.store.messages.size, 0);
  });

  it('are granted to one owner at a time, in the order in which they became ready', () => {
    const { queue } = sessionQueue();
    queue.send([draft({ sessionId: 'a' }), draft({ sessionId: 'b' })], 0);
    assert.equal(accept(queue, null).id, 'a');
    assert.throws(() => accept(queue, 'a'), condition('com.microsoft:session-cannot-be-locked'));
    assert.equal(accept(queue, null).id, 'b');
    assert.equal(accept(queue, null), undefined);
  });

  it('give their messages back uncounted when released, and counted when the lock expires', () => {
    const { queue } = sessionQueue();
    queue.send([draft({ sessionId: 'a' })], 0);
    const first = accept(queue, 'a');
    queue.receive(0, { session: first });
    queue.releaseSession(first, 0);
    const owner = {};
    const second = queue.acceptSession('a', owner, 0);
    assert.equal(queue.receive(0, { session: second }).deliveryCount, 0);
    assert.deepEqual(queue.advance(LOCK_MS), [owner]);
    const third = accept(queue, 'a', LOCK_MS);
    assert.equal(queue.receive(LOCK_MS, { session: third }).deliveryCount, 1);
  });

  it('lose the tokens of a lost lock', () => {
    const { queue } = sessionQueue();
    queue.send([draft({ sessionId: 'a' })], 0);
    const session = accept(queue, 'a');
    const lock = token(queue.receive(0, { session }));
    queue.advance(LOCK_MS);
    assert.throws(() => queue.complete(lock), condition('com.microsoft:session-lock-lost'));
    assert.throws(() => queue.renewSessionLock(session, LOCK_MS), condition('com.microsoft:session-lock-lost'));
  });

  it('keep deferred messages deferred when released', () => {
    const { queue } = sessionQueue();
    queue.send([draft({ sessionId: 'a' })], 0);
    const session = accept(queue, 'a');
    queue.defer(token(queue.receive(0, { session })), 0);
    queue.receiveDeferred([1], 0, { session });
    queue.releaseSession(session, 0);
    assert.equal(accept(queue, null), undefined);
    assert.equal(queue.receiveDeferred([1], 0, { session: accept(queue, 'a') }).length, 1);
  });

  it('are listed while they have active messages or a state', () => {
    const { queue } = sessionQueue();
    queue.send([draft({ sessionId: 'b' })], 0);
    queue.store.setSessionState('a', Buffer.from('s'), 7);
    assert.deepEqual(sessionIds(queue.store, Infinity), ['a', 'b']);
    assert.deepEqual(sessionIds(queue.store, 6), ['a']);
    assert.deepEqual(sessionIds(queue.store, 7), []);
  });
});

describe('durability', () => {
  it('restores the same queue from its records and from a snapshot', () => {
    const shape = { requiresSession: true, duplicateWindowMs: 60_000, deadLetterOnExpiry: true };
    const { queue, records } = makeQueue(shape);
    const session = queue.acceptSession('a', {}, 0);
    const ids = ['count', 'defer', 'dead', 'done', 'wait'];
    queue.send(
      ids.map((messageId) => draft({ messageId, sessionId: 'a' })),
      0,
    );
    queue.send([draft({ sessionId: 'b', scheduledFor: 10 }), draft({ sessionId: 'b', scheduledFor: 99 })], 1);
    const [count, defer, dead, done] = [1, 2, 3, 4].map(() => queue.receive(2, { session }));
    queue.abandon(token(count), 2);
    queue.defer(token(defer), 2);
    queue.deadLetter(token(dead), { reason: 'r', description: 'd' }, 2);
    queue.complete(token(done));
    queue.store.setSessionState('a', Buffer.from('state'), 3);
    queue.advance(10);

    const fromRecords = restore(shape, records);
    const fromSnapshot = restore(shape, [...queue.store.snapshot(), ...queue.deadLetterQueue.store.snapshot()]);

    for (const restored of [fromRecords, fromSnapshot]) {
      assert.deepEqual(view(restored), view(queue));
      assert.deepEqual(view(restored.deadLetterQueue), view(queue.deadLetterQueue));
      assert.deepEqual(restored.send([draft({ messageId: 'done', sessionId: 'a' })], 20), [4]);
      assert.deepEqual(restored.send([draft({ sessionId: 'a' })], 20), [9]);
    }
  });

  it('lets a message that expired in the meantime join the dead letters once', () => {
    const shape = { defaultTtlMs: 5, deadLetterOnExpiry: true };
    const { queue, records } = makeQueue(shape);
    queue.send([draft()], 0);

    const { deadLetterQueue } = restore(shape, records);

    assert.equal(deadLetterQueue.receive(10).deadLetter.reason, 'TTLExpiredException');
    assert.equal(deadLetterQueue.receive(10), undefined);
  });

  function restore(shape, records) {
    const { queue, deadLetters } = makeQueue(shape);
    for (const record of records) (record.q === 'q' ? queue : deadLetters).store.restore(record);
    queue.resume(10);
    return queue;
  }

  function view({ store }) {
    const messages = peek(store, 0, 100, null).map(({ deadline, slot, lock, ...kept }) => kept);
    return { messages, states: [...store.sessionStates] };
  }
});

// @ts-check
import { maxDeliveryCountExceeded, timeToLiveExpired } from './dead_letters.js';
import { Deadlines } from './deadlines.js';
import { notAllowed, sessionCannotBeLocked, sessionIdMissing, sessionLockLost } from './errors.js';
import { LockTable } from './locks.js';
import { Session } from './sessions.js';
import { MessageStore } from './store.js';
import { WaitingMessages } from './waiting.js';

/**
 * @typedef {import('./model.js').Message} Message
 * @typedef {import('./model.js').Draft} Draft
 * @typedef {import('./model.js').DeadLetter} DeadLetter
 * @typedef {import('./model.js').QueueProperties} QueueProperties
 * @typedef {import('./model.js').JournalRecord} JournalRecord
 */

/**
 * One queue as a state machine. It does no I/O and reads no clock: `now`, in ms since the epoch, is an
 * argument of every operation, and what must survive is handed to `write` as journal records.
 * Callers run `advance(now)` before any other operation at `now`.
 */
export class Queue {
  /** @type {Deadlines<Message | Session>} */
  #deadlines = new Deadlines();
  #locks;
  #waiting;

  /**
   * @param {QueueProperties} properties
   * @param {(record: JournalRecord) => void} write
   * @param {Queue | null} deadLetterQueue null makes this queue a dead-letter queue itself
   */
  constructor(properties, write, deadLetterQueue) {
    this.properties = properties;
    this.deadLetterQueue = deadLetterQueue;
    this.#locks = new LockTable(properties.requiresSession);
    this.#waiting = new WaitingMessages(properties.requiresSession);
    this.store = new MessageStore(properties.name, properties.duplicateWindowMs, deadLetterQueue?.store ?? null, write);
  }

  /** The moment of the next `advance` that would change something, in ms since the epoch, or Infinity. */
  get nextDeadline() {
    return this.#deadlines.next;
  }

  /** Puts the restored messages in their places; to be called once, after the journal was read. @param {number} now */
  resume(now) {
    // First, because a message that expired in the meantime is about to join the dead letters.
    this.deadLetterQueue?.resume(now);
    for (const message of this.store.messages.values()) {
      if (message.state === 'scheduled') this.#deadlines.set(message, message.scheduledFor ?? now);
      else if (message.state === 'deferred') this.#deadlines.set(message, message.expiresAt);
      else this.#makeAvailable(message, now);
    }
  }

  /**
   * Accepts messages, all or none, and returns their sequence numbers; a duplicate is accepted and dropped,
   * and yields the number of the message it repeats.
   * @param {Draft[]} drafts
   * @param {number} now
   */
  send(drafts, now) {
    const { requiresSession } = this.properties;
    if (requiresSession && drafts.some(({ sessionId }) => sessionId === null)) throw sessionIdMissing();
    return drafts.map((draft) => this.#accept(draft, now));
  }

  /**
   * Takes the next message of the queue, or of a held session: locks it, or removes it for good.
   * @param {number} now
   * @param {{session?: Session | null, destructive?: boolean}} [options]
   */
  receive(now, { session = null, destructive = false } = {}) {
    const message = this.#waiting.shift(session);
    if (!message) return undefined;
    this.#deadlines.clear(message);
    if (destructive) this.store.remove(message);
    else this.#lock(message, session, now);
    return message;
  }

  /** @param {Session | null} session */
  hasMessages(session = null) {
    return this.#waiting.has(session);
  }

  /**
   * Takes deferred messages by number, all or none.
   * @param {number[]} sequenceNumbers
   * @param {number} now
   * @param {{session?: Session | null, destructive?: boolean}} [options]
   */
  receiveDeferred(sequenceNumbers, now, { session = null, destructive = false } = {}) {
    const messages = this.store.all(sequenceNumbers, 'deferred', (m) => !m.lock && (!session || m.sessionId === session.id));
    for (const message of messages) {
      this.#deadlines.clear(message);
      if (destructive) this.store.remove(message);
      else this.#lock(message, session, now);
    }
    return messages;
  }

  /** @param {string} token */
  complete(token) {
    this.store.remove(this.#unlock(token));
  }

  /**
   * Replaces the stored bytes of a locked message, which stays locked.
   * @param {string} token
   * @param {(payload: Buffer) => Buffer} change
   */
  rewrite(token, change) {
    const { message } = this.#locks.find(token);
    this.store.rewrite(message, change(message.payload));
  }

  /** Gives a message back after a failure; the delivery counts. @param {string} token @param {number} now */
  abandon(token, now) {
    this.#giveBack(this.#unlock(token), now, { failed: true });
  }

  /** Gives a message back unseen; the delivery does not count. @param {string} token @param {number} now */
  release(token, now) {
    this.#giveBack(this.#unlock(token), now, { failed: false });
  }

  /** Sets a message aside until it is asked for by number. @param {string} token @param {number} now */
  defer(token, now) {
    const message = this.#unlock(token);
    this.store.defer(message);
    this.#giveBack(message, now, { failed: false });
  }

  /**
   * @param {string} token
   * @param {DeadLetter} deadLetter
   * @param {number} now
   */
  deadLetter(token, deadLetter, now) {
    if (!this.deadLetterQueue) throw notAllowed('A message in a dead-letter queue cannot be dead-lettered again.');
    this.#moveToDeadLetters(this.#unlock(token), deadLetter, now);
  }

  /**
   * Renews a message lock and returns when it ends, in ms since the epoch.
   * @param {string} token
   * @param {number} now
   */
  renewMessageLock(token, now) {
    const { message, lock } = this.#locks.find(token);
    if (lock.session) throw notAllowed('A message of a session has no lock of its own: renew the session lock.');
    lock.until = now + this.properties.lockDurationMs;
    this.#deadlines.set(message, lock.until);
    return lock.until;
  }

  /**
   * Locks a session for `owner`: the one named, or the free one that waited longest; undefined when none has messages.
   * @param {string | null} sessionId
   * @param {object} owner
   * @param {number} now
   */
  acceptSession(sessionId, owner, now) {
    const { sessions } = this.#waiting;
    const session = sessionId === null ? sessions.nextReady() : sessions.get(sessionId);
    if (!session) return undefined;
    if (session.owner) throw sessionCannotBeLocked(session.id);
    session.owner = owner;
    sessions.changed(session);
    this.renewSessionLock(session, now);
    return session;
  }

  /**
   * Renews a session lock and returns when it ends, in ms since the epoch.
   * @param {Session} session
   * @param {number} now
   */
  renewSessionLock(session, now) {
    if (!session.owner) throw sessionLockLost();
    session.lockedUntil = now + this.properties.lockDurationMs;
    this.#deadlines.set(session, session.lockedUntil);
    return session.lockedUntil;
  }

  /**
   * Frees a session because its receiver went away. Its locked messages return at once and uncounted: "the
   * session is accepted, the messages aren't completed (even if they're locked), and the session is closed"
   * does not increment the delivery count, while an expired session lock does
   * (learn.microsoft.com/azure/service-bus-messaging/message-sessions#impact-of-delivery-count).
   * @param {Session} session
   * @param {number} now
   */
  releaseSession(session, now) {
    if (session.owner) this.#freeSession(session, now, { failed: false });
  }

  /** Withdraws scheduled messages, all or none. @param {number[]} sequenceNumbers */
  cancelScheduled(sequenceNumbers) {
    for (const message of this.store.all(sequenceNumbers, 'scheduled', () => true)) {
      this.#deadlines.clear(message);
      this.store.remove(message);
    }
  }

  /**
   * Lets everything happen that is due by `now`, and returns the owners whose session lock expired.
   * @param {number} now
   * @returns {object[]}
   */
  advance(now) {
    const losers = [];
    for (let item = this.#deadlines.takeDue(now); item; item = this.#deadlines.takeDue(now)) {
      if (item instanceof Session) {
        losers.push(/** @type {object} */ (item.owner));
        this.#freeSession(item, now, { failed: true });
      } else if (item.lock) this.#giveBack(this.#unlock(item.lock.token), now, { failed: true });
      else if (item.state === 'scheduled') {
        this.store.activate(item, now);
        this.#makeAvailable(item, now);
      } else this.#expire(item, now);
    }
    return losers;
  }

  /** @param {Draft} draft @param {number} now */
  #accept(draft, now) {
    const repeated = draft.messageId === null ? undefined : this.store.duplicates.find(draft.messageId, now);
    if (repeated !== undefined) return repeated;
    const ttlMs = Math.min(draft.ttlMs, this.properties.defaultTtlMs);
    const scheduled = draft.scheduledFor !== null && draft.scheduledFor > now;
    const message = this.store.enqueue({
      ...draft,
      enqueuedAt: now,
      ttlMs,
      expiresAt: now + ttlMs,
      scheduledFor: scheduled ? draft.scheduledFor : null,
      state: scheduled ? 'scheduled' : 'active',
      deliveryCount: 0,
      deadLetter: null,
    });
    if (scheduled) this.#deadlines.set(message, /** @type {number} */ (draft.scheduledFor));
    else this.#makeAvailable(message, now);
    return message.sequenceNumber;
  }

  /** @param {Message} message @param {number} now */
  #makeAvailable(message, now) {
    if (message.expiresAt <= now) return this.#expire(message, now);
    this.#deadlines.set(message, message.expiresAt);
    this.#waiting.add(message);
  }

  /** @param {Message} message @param {Session | null} session @param {number} now */
  #lock(message, session, now) {
    const until = now + this.properties.lockDurationMs;
    this.#locks.lock(message, session, until);
    // A session's messages are locked for as long as the session is, so they have no deadline of their own.
    if (!session) this.#deadlines.set(message, until);
  }

  /** @param {string} token */
  #unlock(token) {
    const message = this.#locks.unlock(token);
    this.#deadlines.clear(message);
    return message;
  }

  /** @param {Message} message @param {number} now @param {{failed: boolean}} outcome */
  #giveBack(message, now, { failed }) {
    if (failed) this.store.count(message, message.deliveryCount + 1);
    const { maxDeliveryCount } = this.properties;
    if (failed && message.deliveryCount >= maxDeliveryCount) {
      this.#moveToDeadLetters(message, maxDeliveryCountExceeded(maxDeliveryCount), now);
    } else if (message.state === 'deferred') this.#deadlines.set(message, message.expiresAt);
    else this.#makeAvailable(message, now);
  }

  /** @param {Session} session @param {number} now @param {{failed: boolean}} outcome */
  #freeSession(session, now, outcome) {
    session.owner = null;
    this.#deadlines.clear(session);
    for (const message of [...session.held]) {
      this.#giveBack(this.#unlock(/** @type {string} */ (message.lock?.token)), now, outcome);
    }
    this.#waiting.sessions.changed(session);
  }

  /** @param {Message} message @param {number} now */
  #expire(message, now) {
    if (message.state === 'active') this.#waiting.delete(message);
    if (this.properties.deadLetterOnExpiry && this.deadLetterQueue) {
      this.#moveToDeadLetters(message, timeToLiveExpired, now);
    } else this.store.remove(message);
  }

  /** @param {Message} message @param {DeadLetter} deadLetter @param {number} now */
  #moveToDeadLetters(message, deadLetter, now) {
    this.#deadlines.clear(message);
    this.store.moveToDeadLetters(message, deadLetter);
    /** @type {Queue} */ (this.deadLetterQueue).#makeAvailable(message, now);
  }
}

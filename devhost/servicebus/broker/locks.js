// @ts-check
import { randomUUID } from 'node:crypto';
import { messageLockLost, sessionLockLost } from './errors.js';

/**
 * @typedef {import('./model.js').Message} Message
 * @typedef {import('./model.js').Lock} Lock
 * @typedef {import('./sessions.js').Session} Session
 */

/** The peek-locked messages of a queue, by lock token. */
export class LockTable {
  /** @type {Map<string, Message>} */
  #messages = new Map();
  #sessionful;

  /** @param {boolean} sessionful */
  constructor(sessionful) {
    this.#sessionful = sessionful;
  }

  /** @param {Message} message @param {Session | null} session @param {number} until ms since the epoch */
  lock(message, session, until) {
    message.lock = { token: randomUUID(), until, session };
    this.#messages.set(message.lock.token, message);
    session?.held.add(message);
  }

  /**
   * @param {string} token
   * @returns {{message: Message, lock: Lock}}
   * @throws {import('./errors.js').ServiceBusError} if the lock was lost: it expired, or the message was settled
   */
  find(token) {
    const message = this.#messages.get(token);
    if (!message?.lock) throw this.#sessionful ? sessionLockLost() : messageLockLost();
    return { message, lock: message.lock };
  }

  /** Ends a lock and returns its message. @param {string} token */
  unlock(token) {
    const { message, lock } = this.find(token);
    this.#messages.delete(token);
    lock.session?.held.delete(message);
    message.lock = null;
    return message;
  }
}

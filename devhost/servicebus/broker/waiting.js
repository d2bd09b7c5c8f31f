// @ts-check
import { Lane } from './lane.js';
import { Sessions } from './sessions.js';

/** @typedef {import('./model.js').Message} Message @typedef {import('./sessions.js').Session} Session */

/** The messages of a queue that wait for a receiver: in one lane, or in one lane for each session. */
export class WaitingMessages {
  sessions = new Sessions();
  #lane = new Lane();
  #sessionful;

  /** @param {boolean} sessionful */
  constructor(sessionful) {
    this.#sessionful = sessionful;
  }

  /** @param {Message} message */
  add(message) {
    if (!this.#sessionful) return this.#lane.add(message);
    const session = this.sessions.get(/** @type {string} */ (message.sessionId));
    session.lane.add(message);
    this.sessions.changed(session);
  }

  /** Takes a message out, wherever it stands. @param {Message} message */
  delete(message) {
    if (!this.#sessionful) return this.#lane.delete(message);
    const session = this.sessions.get(/** @type {string} */ (message.sessionId));
    session.lane.delete(message);
    this.sessions.changed(session);
  }

  /** Takes the first message, of a session if one is given. @param {Session | null} session */
  shift(session) {
    return (session?.lane ?? this.#lane).shift();
  }

  /** @param {Session | null} session */
  has(session) {
    return (session?.lane ?? this.#lane).size > 0;
  }
}

// @ts-check
import { Lane } from './lane.js';

/** @typedef {import('./model.js').Message} Message */

/** One session: its waiting messages, and who holds it. */
export class Session {
  lane = new Lane();
  /** @type {Set<Message>} messages locked under the session lock */
  held = new Set();
  /** @type {object | null} the receiver that holds the session lock */
  owner = null;
  /** ms since the epoch; meaningful while there is an owner */
  lockedUntil = 0;
  /** @type {number | undefined} */
  deadline;
  /** @type {number | undefined} */
  slot;

  /** @param {string} id */
  constructor(id) {
    this.id = id;
  }
}

/** The sessions of a queue that have waiting messages or an owner; all others take no memory. */
export class Sessions {
  /** @type {Map<string, Session>} */
  #byId = new Map();
  /** @type {Set<Session>} free sessions with waiting messages, in the order they became so: each gets its turn */
  #ready = new Set();

  /** The session with this id, made on demand; it stays only if `changed` finds a reason. @param {string} id */
  get(id) {
    let session = this.#byId.get(id);
    if (!session) this.#byId.set(id, (session = new Session(id)));
    return session;
  }

  /** The free session that has waited longest with messages, or undefined. */
  nextReady() {
    for (const session of this.#ready) return session;
    return undefined;
  }

  /** Brings the books up to date after a session's messages or owner changed. @param {Session} session */
  changed(session) {
    if (session.owner || session.lane.size === 0) this.#ready.delete(session);
    else this.#ready.add(session);
    if (!session.owner && session.lane.size === 0) this.#byId.delete(session.id);
  }
}

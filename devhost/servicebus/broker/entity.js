// @ts-check
import { entityDeleted, noSessionAvailable, notAllowed, sessionLockLost } from './errors.js';

/**
 * @typedef {import('./queue.js').Queue} Queue
 * @typedef {import('./sessions.js').Session} Session
 * @typedef {import('./model.js').Message} Message
 *
 * @typedef {object} Receiver someone who takes messages from an entity
 * @property {boolean} destructive receive-and-delete instead of peek-lock
 * @property {Session | null} session the session it holds
 * @property {() => number} capacity how many messages it can take right now
 * @property {(message: Message) => void} deliver
 * @property {(session: Session) => void} sessionGranted
 * @property {(error: Error) => void} refused
 */

// Node's timers hold at most 2^31 - 1 ms; a later deadline is simply armed again.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * A queue in the running emulator: hands its messages to receivers and wakes up when one of its deadlines
 * is due. It acts only on a change, a receiver's credit, or that one timer, so a quiet queue costs nothing.
 */
export class Entity {
  /** @type {Set<Receiver>} of the queue as a whole, next in turn first */
  #receivers = new Set();
  /** @type {Set<Receiver>} that hold a session */
  #sessionReceivers = new Set();
  /** @type {Map<Receiver, NodeJS.Timeout>} that wait for any session, in order of arrival */
  #waiting = new Map();
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #timerAt = Infinity;

  /**
   * @param {Queue} queue
   * @param {{now: () => number, commit: () => Promise<void>}} environment `commit` resolves once every change so far
   * is on disk
   */
  constructor(queue, { now, commit }) {
    this.queue = queue;
    /** ISO 8601; of a queue of the topology file, when the emulator started */
    this.createdAt = new Date(now()).toISOString();
    this.#now = now;
    this.#commit = commit;
  }

  #now;
  #commit;
  #isDeleted = false;

  /**
   * Applies one operation to the queue, and resolves to its result once that is durable.
   * @template T
   * @param {(queue: Queue, now: number) => T} operation
   * @returns {Promise<T>}
   */
  async run(operation) {
    if (this.#isDeleted) throw entityDeleted(this.queue.properties.name);
    const now = this.#advance();
    try {
      const result = operation(this.queue, now);
      await this.#commit();
      return result;
    } finally {
      this.wake();
    }
  }

  /** Adds a receiver of the queue as a whole. @param {Receiver} receiver */
  attach(receiver) {
    this.#receivers.add(receiver);
  }

  /**
   * Asks for a session on behalf of a receiver, which is told by `sessionGranted` or `refused`.
   * @param {Receiver} receiver
   * @param {string | null} sessionId null asks for the next available one
   * @param {number} timeoutMs how long to wait for an available one; a named session is never waited for
   */
  acceptSession(receiver, sessionId, timeoutMs) {
    try {
      if (!this.#grant(receiver, sessionId)) {
        const timer = setTimeout(
          () => {
            this.#waiting.delete(receiver);
            receiver.refused(noSessionAvailable());
          },
          Math.min(timeoutMs, LONGEST_TIMER_MS),
        );
        this.#waiting.set(receiver, timer);
      }
    } catch (error) {
      receiver.refused(/** @type {Error} */ (error));
    }
  }

  /** Forgets a receiver; a session that it held becomes free. @param {Receiver} receiver */
  detach(receiver) {
    clearTimeout(this.#waiting.get(receiver));
    this.#waiting.delete(receiver);
    this.#receivers.delete(receiver);
    this.#sessionReceivers.delete(receiver);
    const { session } = receiver;
    if (this.#isDeleted) return;
    if (session?.owner === receiver) {
      this.queue.releaseSession(session, this.#advance());
      this.wake();
    }
  }

  /** Hands out what can be handed out; to be called when a receiver has got credit. */
  wake() {
    if (this.#isDeleted) return;
    const now = this.#advance();
    for (const receiver of this.#waiting.keys()) if (!this.#grant(receiver, null)) break;
    for (const receiver of this.#sessionReceivers) {
      while (this.queue.hasMessages(receiver.session) && receiver.capacity() > 0) this.#deliver(receiver, now);
    }
    for (const receiver of this.#inTurn()) this.#deliver(receiver, now);
    this.#arm();
    // Nobody waits for changes that no client asked for, such as an expiry; a failure to keep them is fatal elsewhere.
    this.#commit().catch(() => {});
  }

  /** Ends the queue and the links of all who receive from it. */
  delete() {
    this.#isDeleted = true;
    this.close();
    const receivers = [...this.#receivers, ...this.#sessionReceivers, ...this.#waiting.keys()];
    for (const receiver of receivers) receiver.refused(entityDeleted(this.queue.properties.name));
    this.#receivers.clear();
    this.#sessionReceivers.clear();
    this.#waiting.clear();
  }

  /** Stops the timers; the queue changes no more by itself. */
  close() {
    clearTimeout(this.#timer);
    for (const timer of this.#waiting.values()) clearTimeout(timer);
  }

  /** Yields the receiver for each waiting message, so that those with credit take turns. */
  *#inTurn() {
    let passedOver = 0;
    while (this.queue.hasMessages() && passedOver < this.#receivers.size) {
      const [receiver] = this.#receivers;
      this.#receivers.delete(receiver);
      this.#receivers.add(receiver);
      if (receiver.capacity() > 0) {
        passedOver = 0;
        yield receiver;
      } else passedOver += 1;
    }
  }

  /** @param {Receiver} receiver @param {number} now */
  #deliver(receiver, now) {
    const message = this.queue.receive(now, receiver);
    if (message) receiver.deliver(message);
  }

  /** @param {Receiver} receiver @param {string | null} sessionId */
  #grant(receiver, sessionId) {
    if (!this.queue.properties.requiresSession) {
      throw notAllowed(
        'A sessionful message receiver cannot be created on an entity that does not require sessions. ' +
          'Ensure RequiresSession is set to true when creating a Queue or Subscription to enable sessionful behavior.',
      );
    }
    const session = this.queue.acceptSession(sessionId, receiver, this.#advance());
    if (!session) return false;
    clearTimeout(this.#waiting.get(receiver));
    this.#waiting.delete(receiver);
    this.#sessionReceivers.add(receiver);
    receiver.sessionGranted(session);
    this.#arm();
    return true;
  }

  #advance() {
    const now = this.#now();
    for (const owner of this.queue.advance(now)) {
      const receiver = /** @type {Receiver} */ (owner);
      this.#sessionReceivers.delete(receiver);
      receiver.refused(sessionLockLost());
    }
    return now;
  }

  #arm() {
    const at = this.queue.nextDeadline;
    // A timer that fires too early only looks and is armed again; moving it at every message would cost more.
    if (at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Infinity;
        this.wake();
      },
      Math.min(Math.max(at - this.#now(), 1), LONGEST_TIMER_MS),
    );
  }
}

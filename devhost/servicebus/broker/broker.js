// @ts-check
import { Entity } from './entity.js';
import { Queue } from './queue.js';

/**
 * @typedef {import('./model.js').QueueProperties} QueueProperties
 * @typedef {import('./model.js').JournalRecord} JournalRecord
 */

/** The path of a queue's dead-letter queue below the queue itself. */
export const DEAD_LETTER_SUFFIX = '/$DeadLetterQueue';

/** What is stored does not fit the topology any more; says what to do. */
export class RestoreError extends Error {}

/** All queues of the namespace with their dead-letter queues, on top of one journal. */
export class Broker {
  /** @type {Map<string, Entity>} by lower-case path: Service Bus compares entity names without regard to case */
  #entities = new Map();
  /** @type {Map<string, Queue>} all that the journal knows, by lower-case path */
  #queues = new Map();
  #environment;

  /**
   * @param {QueueProperties[]} topology
   * @param {{append: (record: JournalRecord) => void, commit: () => Promise<void>}} journal
   * @param {() => number} [now] ms since the epoch
   */
  constructor(topology, journal, now = Date.now) {
    this.#environment = { now, commit: () => journal.commit(), write: journal.append.bind(journal) };
    for (const properties of topology) {
      for (const queue of this.#add(properties)) {
        this.#entities.set(queue.properties.name.toLowerCase(), new Entity(queue, this.#environment));
      }
    }
  }

  /** Queues found in the journal but not in the topology: kept on disk, not served. */
  get unserved() {
    return [...this.#queues.values()]
      .filter(({ properties, store }) => !this.find(properties.name) && store.messages.size > 0)
      .map(({ properties, store }) => ({ name: properties.name, messages: store.messages.size }));
  }

  /** @param {string} path queue name, with or without the dead-letter suffix */
  find(path) {
    return this.#entities.get(path.toLowerCase());
  }

  /** Repeats one journalled change. @param {JournalRecord} record */
  restore(record) {
    const path = record.q.toLowerCase();
    if (!this.#queues.has(path)) this.#add(unservedProperties(record.q.replace(DEAD_LETTER_SUFFIX, '')));
    /** @type {Queue} */ (this.#queues.get(path)).store.restore(record);
  }

  /** The shortest list of records that restores everything. @returns {Iterable<JournalRecord>} */
  *snapshot() {
    for (const { store } of this.#queues.values()) yield* store.snapshot();
  }

  /**
   * Starts serving what was restored.
   * @throws {RestoreError} if a queue now requires sessions but holds messages without a session
   */
  resume() {
    for (const { queue } of this.#entities.values()) {
      const strays = [...queue.store.messages.values()].filter((message) => message.sessionId === null);
      if (queue.properties.requiresSession && strays.length > 0) {
        throw new RestoreError(
          `Queue '${queue.properties.name}': RequiresSession is true, but ${strays.length} stored message(s) have no ` +
            'session id. Start once with RequiresSession false and receive them, or remove the data directory.',
        );
      }
    }
    const now = this.#environment.now();
    for (const { queue } of this.#entities.values()) if (queue.deadLetterQueue) queue.resume(now);
    for (const entity of this.#entities.values()) entity.wake();
  }

  close() {
    for (const entity of this.#entities.values()) entity.close();
  }

  /** @param {QueueProperties} properties */
  #add(properties) {
    const { write } = this.#environment;
    const deadLetters = new Queue(deadLetterProperties(properties), write, null);
    const queue = new Queue(properties, write, deadLetters);
    for (const each of [queue, deadLetters]) this.#queues.set(each.properties.name.toLowerCase(), each);
    return [queue, deadLetters];
  }
}

/**
 * A dead-letter queue is never sessionful and nothing in it expires or is counted out
 * (learn.microsoft.com/azure/service-bus-messaging/service-bus-dead-letter-queues).
 * @param {QueueProperties} properties @returns {QueueProperties}
 */
function deadLetterProperties({ name, lockDurationMs }) {
  return {
    name: name + DEAD_LETTER_SUFFIX,
    requiresSession: false,
    lockDurationMs,
    maxDeliveryCount: Infinity,
    defaultTtlMs: Infinity,
    duplicateWindowMs: 0,
    deadLetterOnExpiry: false,
  };
}

/** @param {string} name @returns {QueueProperties} */
function unservedProperties(name) {
  return {
    name,
    requiresSession: false,
    lockDurationMs: 60_000,
    maxDeliveryCount: Infinity,
    defaultTtlMs: Infinity,
    // The window is not known here; the longest that Service Bus allows forgets no id too early.
    duplicateWindowMs: 7 * 24 * 3_600_000,
    deadLetterOnExpiry: false,
  };
}

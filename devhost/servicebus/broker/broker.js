// @ts-check
import { Entity } from './entity.js';
import { alreadyExists, notFound } from './errors.js';
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
  /** @type {Map<string, QueueProperties>} of the queues that were made by a call, by lower-case name */
  #created = new Map();
  #topology;
  #environment;

  /**
   * @param {QueueProperties[]} topology
   * @param {{append: (record: JournalRecord) => void, commit: () => Promise<void>}} journal
   * @param {() => number} [now] ms since the epoch
   */
  constructor(topology, journal, now = Date.now) {
    this.#environment = { now, commit: () => journal.commit(), write: journal.append.bind(journal) };
    this.#topology = topology;
    for (const properties of topology) this.#serve(properties);
  }

  /** The queues that are served, dead-letter queues apart, by name. @returns {Entity[]} */
  get entities() {
    const paths = [...this.#entities.keys()].sort();
    return paths.map((path) => /** @type {Entity} */ (this.find(path))).filter(({ queue }) => queue.deadLetterQueue);
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

  /**
   * Makes a queue, which is there again after a restart.
   * @param {QueueProperties} properties
   * @throws {import('./errors.js').ServiceBusError} if there is one of this name
   */
  async create(properties) {
    const { name } = properties;
    if (this.find(name)) throw alreadyExists(name);
    this.#environment.write({ op: 'create-queue', q: name, properties: toStored(properties) });
    this.#create(properties);
    await this.#environment.commit();
  }

  /**
   * Deletes a queue with all its messages; one of the topology file is there again, empty, after a restart.
   * @param {string} name
   * @throws {import('./errors.js').ServiceBusError} if there is no such queue
   */
  async delete(name) {
    const entity = this.find(name);
    if (!entity?.queue.deadLetterQueue) throw notFound(`The messaging entity '${name}' could not be found.`);
    this.#environment.write({ op: 'delete-queue', q: entity.queue.properties.name });
    this.#delete(name);
    await this.#environment.commit();
  }

  /** Repeats one journalled change. @param {JournalRecord} record */
  restore(record) {
    const path = record.q.toLowerCase();
    if (record.op === 'create-queue') {
      // A queue that is in the topology file now has the properties of the file.
      if (!this.find(path)) this.#create(fromStored(record.properties));
      return;
    }
    if (record.op === 'delete-queue') {
      this.#delete(path);
      const declared = this.#topology.find(({ name }) => name.toLowerCase() === path);
      if (declared) this.#serve(declared);
      return;
    }
    if (!this.#queues.has(path)) this.#add(unservedProperties(record.q.replace(DEAD_LETTER_SUFFIX, '')));
    /** @type {Queue} */ (this.#queues.get(path)).store.restore(record);
  }

  /** The shortest list of records that restores everything. @returns {Iterable<JournalRecord>} */
  *snapshot() {
    for (const properties of this.#created.values()) {
      yield { op: 'create-queue', q: properties.name, properties: toStored(properties) };
    }
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
  #serve(properties) {
    for (const queue of this.#add(properties)) {
      this.#entities.set(queue.properties.name.toLowerCase(), new Entity(queue, this.#environment));
    }
  }

  /** @param {QueueProperties} properties */
  #create(properties) {
    this.#created.set(properties.name.toLowerCase(), properties);
    this.#serve(properties);
  }

  /** @param {string} name */
  #delete(name) {
    this.#created.delete(name.toLowerCase());
    for (const path of [name, name + DEAD_LETTER_SUFFIX].map((each) => each.toLowerCase())) {
      this.#entities.get(path)?.delete();
      this.#entities.delete(path);
      this.#queues.delete(path);
    }
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

/** JSON has no infinity. @param {QueueProperties} properties */
const toStored = (properties) => ({
  ...properties,
  defaultTtlMs: properties.defaultTtlMs === Infinity ? null : properties.defaultTtlMs,
});

/** @param {any} stored @returns {QueueProperties} */
const fromStored = (stored) => ({ ...stored, defaultTtlMs: stored.defaultTtlMs ?? Infinity });

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

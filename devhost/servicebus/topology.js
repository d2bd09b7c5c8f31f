// @ts-check
import { readFileSync } from 'node:fs';

/** @typedef {import('./broker/model.js').QueueProperties} QueueProperties */

/** What is wrong with a topology file, naming the queue and the property. */
export class TopologyError extends Error {}

const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;
const ISO_8601_DURATION = /^P(?=.)(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;
const QUEUE_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,258}[A-Za-z0-9_-])?$/;

/**
 * Reads one of Service Bus' ISO 8601 durations, such as `PT1M` or `P14D`.
 * @param {unknown} text
 * @returns {number | undefined} milliseconds, or undefined if it is not such a duration
 */
export function durationMs(text) {
  const match = typeof text === 'string' ? ISO_8601_DURATION.exec(text) : null;
  if (!match) return undefined;
  const [days, hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0));
  return days * DAY_MS + ((hours * 60 + minutes) * 60 + seconds) * SECOND_MS;
}

/** @param {number} leastMs @param {number} mostMs @param {string} range in words */
const duration = (leastMs, mostMs, range) => (/** @type {unknown} */ value) => {
  const ms = durationMs(value);
  if (ms === undefined || ms < leastMs || ms > mostMs) throw `must be an ISO 8601 duration ${range}, such as "PT1M"`;
  return ms;
};

const boolean = (/** @type {unknown} */ value) => {
  if (typeof value !== 'boolean') throw 'must be true or false';
  return value;
};

const deliveryCount = (/** @type {unknown} */ value) => {
  if (!Number.isInteger(value) || Number(value) < 1 || Number(value) > 2000)
    throw 'must be a whole number from 1 to 2000';
  return Number(value);
};

const noForwarding = (/** @type {unknown} */ value) => {
  if (value !== '' && value !== null) throw 'is not supported: this emulator does not forward messages';
};

/**
 * The queue properties of the official emulator's config.json, with its defaults. Durations may be shorter than
 * the service allows (PT5S locks, PT20S windows), so that tests need not wait.
 */
const PROPERTIES = {
  RequiresSession: { read: boolean, default: false },
  LockDuration: { read: duration(SECOND_MS, 5 * 60 * SECOND_MS, 'from PT1S to PT5M'), default: 'PT1M' },
  MaxDeliveryCount: { read: deliveryCount, default: 10 },
  DefaultMessageTimeToLive: { read: duration(SECOND_MS, Infinity, 'of at least PT1S'), default: 'PT1H' },
  RequiresDuplicateDetection: { read: boolean, default: false },
  DuplicateDetectionHistoryTimeWindow: {
    read: duration(SECOND_MS, 7 * DAY_MS, 'from PT1S to P7D'),
    default: 'PT10M',
  },
  DeadLetteringOnMessageExpiration: { read: boolean, default: false },
  ForwardTo: { read: noForwarding, default: '' },
  ForwardDeadLetteredMessagesTo: { read: noForwarding, default: '' },
};

/**
 * Reads a topology file: the official Service Bus emulator's config.json.
 * @param {string} path
 * @returns {QueueProperties[]}
 * @throws {TopologyError} if it cannot be read, or asks for what this emulator does not do
 */
export function readTopology(path) {
  let document;
  try {
    document = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new TopologyError(`${path}: ${/** @type {Error} */ (error).message}`);
  }
  try {
    return parseTopology(document);
  } catch (error) {
    throw error instanceof TopologyError ? new TopologyError(`${path}: ${error.message}`) : error;
  }
}

/**
 * @param {any} document the parsed file
 * @returns {QueueProperties[]}
 * @throws {TopologyError}
 */
export function parseTopology(document) {
  const namespaces = document?.UserConfig?.Namespaces;
  if (!Array.isArray(namespaces) || namespaces.length !== 1) {
    throw new TopologyError('UserConfig.Namespaces must list exactly one namespace.');
  }
  const { Queues: queues, Topics: topics = [] } = namespaces[0];
  if (topics.length > 0) {
    throw new TopologyError(`Topic '${topics[0].Name}': topics are not supported; this emulator has queues only.`);
  }
  if (!Array.isArray(queues) || queues.length === 0)
    throw new TopologyError('The namespace must list at least one queue.');
  const names = new Set();
  return queues.map((queue) => {
    const properties = parseQueue(queue);
    const key = properties.name.toLowerCase();
    if (names.has(key)) throw new TopologyError(`Queue '${properties.name}': Name is used twice.`);
    names.add(key);
    return properties;
  });
}

/**
 * @param {any} queue an entry of a topology: its name, and the properties that differ from the defaults
 * @returns {QueueProperties}
 * @throws {TopologyError}
 */
export function parseQueue({ Name: name, Properties: given = {}, ...others }) {
  if (typeof name !== 'string' || !QUEUE_NAME.test(name)) {
    throw new TopologyError(`Queue '${name}': Name must be 1 to 260 letters, digits, '.', '-', '_' or '/'.`);
  }
  const unknown = Object.keys({ ...others, ...given }).find((key) => !(key in PROPERTIES));
  if (unknown) throw new TopologyError(`Queue '${name}': ${unknown} is not a property that this emulator can honour.`);
  /** @type {Record<string, any>} */
  const values = {};
  for (const [key, property] of Object.entries(PROPERTIES)) {
    try {
      values[key] = property.read(given[key] ?? property.default);
    } catch (reason) {
      throw new TopologyError(`Queue '${name}': ${key} ${reason}; it is ${JSON.stringify(given[key])}.`);
    }
  }
  return {
    name,
    requiresSession: values.RequiresSession,
    lockDurationMs: values.LockDuration,
    maxDeliveryCount: values.MaxDeliveryCount,
    defaultTtlMs: values.DefaultMessageTimeToLive,
    duplicateWindowMs: values.RequiresDuplicateDetection ? values.DuplicateDetectionHistoryTimeWindow : 0,
    deadLetterOnExpiry: values.DeadLetteringOnMessageExpiration,
  };
}

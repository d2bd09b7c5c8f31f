// @ts-check
/** The Atom XML of Service Bus' administration (learn.microsoft.com/rest/api/servicebus/entities), as far as queues go. */
import { argumentError, notImplemented } from '../broker/errors.js';
import { durationMs, parseQueue, TopologyError } from '../topology.js';

/**
 * @typedef {import('../broker/entity.js').Entity} Entity
 * @typedef {import('../broker/model.js').QueueProperties} QueueProperties
 */

const ATOM = 'http://www.w3.org/2005/Atom';
const SERVICE_BUS = 'http://schemas.microsoft.com/netservices/2010/10/servicebus/connect';
const COUNTS = 'http://schemas.microsoft.com/netservices/2011/06/servicebus';
const INSTANCE = 'http://www.w3.org/2001/XMLSchema-instance';
/** How the service writes "for ever": .NET's largest time span. */
const FOREVER = 'P10675199DT2H48M5.4775807S';
const FOREVER_MS = /** @type {number} */ (durationMs('P10675199D'));

/** Properties of a queue description that change nothing here, whatever they are. */
const IGNORED = new Set([
  ...['MaxSizeInMegabytes', 'EnableBatchedOperations', 'SizeInBytes', 'MessageCount', 'AuthorizationRules'],
  ...['CreatedAt', 'UpdatedAt', 'AccessedAt', 'UserMetadata', 'EnableExpress', 'EntityAvailabilityStatus'],
  ...['AutoDeleteOnIdle', 'SupportOrdering', 'IsAnonymousAccessible', 'MaxMessageSizeInKilobytes', 'CountDetails'],
]);
const BOOLEANS = new Set(['RequiresSession', 'RequiresDuplicateDetection', 'DeadLetteringOnMessageExpiration']);
const ENTITIES = /** @type {Record<string, string>} */ ({ lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' });

/**
 * Reads the description of a queue that is to be made.
 * @param {string} name
 * @param {string} xml an Atom entry
 * @returns {QueueProperties} with the service's defaults, which differ from those of the topology file
 * @throws {import('../broker/errors.js').ServiceBusError} if it is none, or asks for what this emulator does not do
 */
export function readQueue(name, xml) {
  if (/<(?:\w+:)?TopicDescription\b/.test(xml)) throw notImplemented('Topics are not supported; there are queues only.');
  const description = /<(?:\w+:)?QueueDescription\b[^>]*?(?:\/>|>([\s\S]*?)<\/(?:\w+:)?QueueDescription>)/.exec(xml);
  if (!description) throw argumentError('The body holds no QueueDescription.');
  /** @type {Record<string, any>} */
  const properties = { DefaultMessageTimeToLive: FOREVER };
  for (const [, key, text] of (description[1] ?? '').matchAll(/<(?:\w+:)?(\w+)\b[^>]*>([^<]*)<\/(?:\w+:)?\1>/g)) {
    const value = text.trim().replace(/&(\w+);/g, (all, entity) => ENTITIES[entity] ?? all);
    if (IGNORED.has(key) || value === '') continue;
    if (key === 'EnablePartitioning' || key === 'Status') {
      if (!['false', 'active'].includes(value.toLowerCase())) throw notImplemented(`${key} '${value}' is not supported.`);
    } else if (BOOLEANS.has(key)) properties[key] = value.toLowerCase() === 'true';
    else properties[key] = /^\d+$/.test(value) ? Number(value) : value;
  }
  try {
    const queue = parseQueue({ Name: name, Properties: properties });
    return queue.defaultTtlMs >= FOREVER_MS ? { ...queue, defaultTtlMs: Infinity } : queue;
  } catch (error) {
    throw error instanceof TopologyError ? argumentError(error.message) : error;
  }
}

/** @param {Entity} entity @param {string} base address of the namespace @param {Entity | undefined} deadLetters */
export function queueEntry(entity, base, deadLetters) {
  const { properties, store } = entity.queue;
  const { active, scheduled, deadLettered, total } = counts(entity, deadLetters);
  const values = {
    LockDuration: duration(properties.lockDurationMs),
    MaxSizeInMegabytes: 1024,
    RequiresDuplicateDetection: properties.duplicateWindowMs > 0,
    RequiresSession: properties.requiresSession,
    DefaultMessageTimeToLive: duration(properties.defaultTtlMs),
    DeadLetteringOnMessageExpiration: properties.deadLetterOnExpiry,
    DuplicateDetectionHistoryTimeWindow: duration(properties.duplicateWindowMs || 600_000),
    MaxDeliveryCount: properties.maxDeliveryCount,
    EnableBatchedOperations: true,
    SizeInBytes: [...store.messages.values()].reduce((sum, { payload }) => sum + payload.length, 0),
    MessageCount: total,
    IsAnonymousAccessible: false,
    Status: 'Active',
    CreatedAt: entity.createdAt,
    UpdatedAt: entity.createdAt,
    AccessedAt: entity.createdAt,
    SupportOrdering: true,
  };
  const details = `<CountDetails xmlns:d2p1="${COUNTS}">${elements(
    {
      ActiveMessageCount: active,
      DeadLetterMessageCount: deadLettered,
      ScheduledMessageCount: scheduled,
      TransferMessageCount: 0,
      TransferDeadLetterMessageCount: 0,
    },
    'd2p1:',
  )}</CountDetails>`;
  const tail = elements({
    AutoDeleteOnIdle: FOREVER,
    EnablePartitioning: false,
    EntityAvailabilityStatus: 'Available',
    EnableExpress: false,
  });
  const content = `<QueueDescription xmlns="${SERVICE_BUS}" xmlns:i="${INSTANCE}">${elements(values)}${details}${tail}</QueueDescription>`;
  return entry(properties.name, `${base}/${encodeURI(properties.name)}`, entity.createdAt, content);
}

/** @param {string} name @param {string} base @param {string} at */
export function namespaceEntry(name, base, at) {
  const values = { CreatedTime: at, MessagingSKU: 'Standard', ModifiedTime: at, Name: name, NamespaceType: 'Messaging' };
  const content = `<NamespaceInfo xmlns="${SERVICE_BUS}" xmlns:i="${INSTANCE}">${elements(values)}</NamespaceInfo>`;
  return entry(name, `${base}/$namespaceinfo`, at, content);
}

/** @param {string} title @param {string} address @param {string} at @param {string[]} entries */
export function feed(title, address, at, entries) {
  return `<feed xmlns="${ATOM}"><title type="text">${text(title)}</title><id>${text(address)}</id><updated>${at}</updated>${entries.join('')}</feed>`;
}

/** @param {number} status @param {string} detail */
export const errorDocument = (status, detail) => `<Error><Code>${status}</Code><Detail>${text(detail)}</Detail></Error>`;

/**
 * How many messages a queue holds.
 * @param {Entity} entity @param {Entity | undefined} deadLetters
 */
export function counts({ queue }, deadLetters) {
  const messages = [...queue.store.messages.values()];
  const inState = (/** @type {string} */ state) => messages.filter((message) => message.state === state).length;
  const deadLettered = deadLetters?.queue.store.messages.size ?? 0;
  return {
    active: inState('active'),
    deferred: inState('deferred'),
    scheduled: inState('scheduled'),
    deadLettered,
    total: messages.length + deadLettered,
  };
}

/** @param {string} title @param {string} id @param {string} at @param {string} content */
function entry(title, id, at, content) {
  return (
    `<entry xmlns="${ATOM}"><id>${text(id)}</id><title type="text">${text(title)}</title><published>${at}</published>` +
    `<updated>${at}</updated><author><name>emulator</name></author><link rel="self" href="${text(id)}"/>` +
    `<content type="application/xml">${content}</content></entry>`
  );
}

/** @param {Record<string, string | number | boolean>} values @param {string} [prefix] */
function elements(values, prefix = '') {
  return Object.entries(values)
    .map(([key, value]) => `<${prefix}${key}>${text(String(value))}</${prefix}${key}>`)
    .join('');
}

/** @param {string} plain */
function text(plain) {
  return plain.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** @param {number} ms */
function duration(ms) {
  return ms === Infinity ? FOREVER : `PT${ms / 1000}S`;
}

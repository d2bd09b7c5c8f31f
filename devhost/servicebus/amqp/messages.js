// @ts-check
import { randomUUID } from 'node:crypto';
import { argumentError, decodeError, outOfRange } from '../broker/errors.js';
import { types } from './rhea.js';
import { readFields, SECTION, splitSections, writeList, writeMap } from './sections.js';

/**
 * @typedef {import('../broker/model.js').Draft} Draft
 * @typedef {import('../broker/model.js').Message} Message
 */

const SCHEDULED_ENQUEUE_TIME = 'x-opt-scheduled-enqueue-time';
/** Annotations that the broker sets; what a sender puts under these names is replaced. */
const BROKER_ANNOTATIONS = new Set([
  'x-opt-sequence-number',
  'x-opt-enqueued-time',
  'x-opt-enqueue-sequence-number',
  'x-opt-locked-until',
  'x-opt-message-state',
  'x-opt-deadletter-source',
]);
const STATE_CODES = { active: 0, deferred: 1, scheduled: 2 };
const MAX_ID_LENGTH = 128;
/** Positions in the header and the properties section. */
const TTL = 2;
const MESSAGE_ID = 0;
const GROUP_ID = 10;
const MAX_UINT = 0xffff_ffff;

/**
 * Reads from an encoded message what the broker must know of it. One without an id gets one, as the service gives it
 * (github.com/Azure/azure-service-bus-java/issues/69): the JavaScript SDK cannot settle a message without.
 * @param {Buffer} encoded
 * @returns {Draft}
 * @throws {import('../broker/errors.js').ServiceBusError} if it is no message, or an id is too long
 */
export function readDraft(encoded) {
  const sections = splitSections(encoded);
  const fields = (/** @type {number} */ code) =>
    readFields(
      encoded,
      sections.find((section) => section.code === code),
    );
  const header = fields(SECTION.header);
  const properties = fields(SECTION.properties);
  const annotations = fields(SECTION.messageAnnotations);
  checkRewritable(header, annotations, fields(SECTION.applicationProperties));
  const messageId = idText(properties[MESSAGE_ID], 'MessageId');
  const assigned = messageId ?? randomUUID().replaceAll('-', '');
  return {
    messageId: assigned,
    sessionId: idText(properties[GROUP_ID], 'SessionId'),
    ttlMs: timeToLive(header[TTL]),
    scheduledFor: scheduledTime(annotations),
    // A copy, because what came is a slice of a network buffer or of a batch, which it would keep alive.
    payload: messageId === null ? withMessageId(encoded, properties, assigned) : Buffer.from(encoded),
  };
}

/**
 * Takes apart a batch: a message whose data sections are messages (message format 0x80013700).
 * @param {Buffer} encoded
 * @returns {Buffer[]}
 */
export function readBatch(encoded) {
  const messages = splitSections(encoded)
    .filter((section) => section.code === SECTION.data)
    .map((section) => binary(encoded, section.valueStart));
  if (messages.length === 0) throw argumentError('The batch holds no message.');
  return messages;
}

/**
 * Encodes a message for a receiver: the header and annotations are the broker's, all else is the sender's bytes.
 * @param {Message} message
 * @returns {Buffer}
 */
export function encodeForReceiver(message) {
  const { payload } = message;
  const sections = splitSections(payload);
  const find = (/** @type {number} */ code) => sections.find((section) => section.code === code);
  const raw = (/** @type {(code: number) => boolean} */ wanted) =>
    sections.filter(({ code }) => wanted(code)).map(({ start, end }) => payload.subarray(start, end));
  return Buffer.concat([
    header(readFields(payload, find(SECTION.header)), message),
    writeMap(SECTION.messageAnnotations, annotations(readFields(payload, find(SECTION.messageAnnotations)), message)),
    ...raw((code) => code === SECTION.properties),
    ...(message.deadLetter
      ? [deadLetterProperties(readFields(payload, find(SECTION.applicationProperties)), message.deadLetter)]
      : raw((code) => code === SECTION.applicationProperties)),
    ...raw((code) => code > SECTION.applicationProperties),
  ]);
}

/**
 * The encoded message with application properties set or replaced.
 * @param {Buffer} encoded
 * @param {any[]} changes AMQP-typed keys and values in turn
 * @returns {Buffer}
 * @throws {import('../broker/errors.js').ServiceBusError} if a key is no text, or a value is a list, a map or an array
 */
export function withApplicationProperties(encoded, changes) {
  const own = changes.map((typed, index) => {
    if (index % 2) {
      if (Array.isArray(typed.value)) throw argumentError('An application property must be a simple value.');
      return typed;
    }
    if (typeof typed.value !== 'string') throw argumentError('The name of an application property must be a string.');
    return types.wrap_string(typed.value);
  });
  const keys = new Set(own.filter((_, index) => index % 2 === 0).map(({ value }) => value));
  const sent = readFields(
    encoded,
    splitSections(encoded).find(({ code }) => code === SECTION.applicationProperties),
  );
  const section = writeMap(SECTION.applicationProperties, [...withoutKeys(sent, keys), ...own]);
  return withSection(encoded, SECTION.applicationProperties, section);
}

/** @param {Buffer} encoded @param {any[]} properties typed @param {string} messageId */
function withMessageId(encoded, properties, messageId) {
  const fields = [...properties];
  fields[MESSAGE_ID] = types.wrap_string(messageId);
  return withSection(encoded, SECTION.properties, writeList(SECTION.properties, fields));
}

/** Puts a section in its place, instead of the one that was there. @param {Buffer} encoded @param {number} code @param {Buffer} section */
function withSection(encoded, code, section) {
  const sections = splitSections(encoded);
  const bytes = (/** @type {(code: number) => boolean} */ wanted) =>
    sections.filter((each) => wanted(each.code)).map(({ start, end }) => encoded.subarray(start, end));
  return Buffer.concat([...bytes((each) => each < code), section, ...bytes((each) => each > code)]);
}

/** The delivery count is that of earlier deliveries, and always there. @param {any[]} sent @param {Message} message */
function header([durable, priority], { ttlMs, deliveryCount }) {
  const ttl = ttlMs === Infinity ? types.wrap(null) : types.wrap_uint(Math.min(ttlMs, MAX_UINT));
  return writeList(SECTION.header, [
    durable ?? types.wrap(null),
    priority ?? types.wrap(null),
    ttl,
    types.wrap_boolean(false),
    types.wrap_uint(deliveryCount),
  ]);
}

/** @param {any[]} sent @param {Message} message */
function annotations(sent, message) {
  const { sequenceNumber, enqueuedAt, state, lock } = message;
  const own = [
    types.wrap_symbol('x-opt-sequence-number'),
    types.wrap_long(sequenceNumber),
    types.wrap_symbol('x-opt-enqueued-time'),
    types.wrap_timestamp(enqueuedAt),
    types.wrap_symbol('x-opt-enqueue-sequence-number'),
    types.wrap_long(sequenceNumber),
    types.wrap_symbol('x-opt-message-state'),
    types.wrap_int(STATE_CODES[state]),
  ];
  if (lock) {
    own.push(types.wrap_symbol('x-opt-locked-until'), types.wrap_timestamp(lock.session?.lockedUntil ?? lock.until));
  }
  return [...withoutKeys(sent, BROKER_ANNOTATIONS), ...own];
}

/** @param {any[]} sent @param {NonNullable<Message['deadLetter']>} deadLetter */
function deadLetterProperties(sent, { reason, description }) {
  const own = Object.entries({ DeadLetterReason: reason, DeadLetterErrorDescription: description })
    .filter(([, value]) => value !== null)
    .map(([key, value]) => [key, types.wrap_string(/** @type {string} */ (value))]);
  const keys = new Set(own.map(([key]) => key));
  return writeMap(SECTION.applicationProperties, [
    ...withoutKeys(sent, keys),
    ...own.flatMap(([key, value]) => [types.wrap_string(key), value]),
  ]);
}

/** @param {any[]} keysAndValues @param {Set<string>} keys */
function withoutKeys(keysAndValues, keys) {
  return keysAndValues.filter((_, index) => !keys.has(keysAndValues[index - (index % 2)].value));
}

/**
 * What is rewritten for a receiver must be sound when it is sent: nobody could receive the message otherwise.
 * @param {any[]} header @param {any[]} annotations @param {any[]} applicationProperties
 */
function checkRewritable(header, annotations, applicationProperties) {
  if (annotations.length % 2 || applicationProperties.length % 2) {
    throw decodeError('The message has a map with a key that has no value.');
  }
  try {
    writeList(SECTION.header, header);
    writeMap(SECTION.messageAnnotations, annotations);
    writeMap(SECTION.applicationProperties, applicationProperties);
  } catch (error) {
    throw decodeError(`The message holds a value that cannot be handed on: ${/** @type {Error} */ (error).message}.`);
  }
}

/** @param {any} typed @returns {number} ms, or Infinity */
function timeToLive(typed) {
  return Number.isInteger(typed?.value) && typed.value >= 0 ? typed.value : Infinity;
}

/** @param {any} typed @param {string} name @returns {string | null} */
function idText(typed, name) {
  if (!typed || typed.value === null || typed.value === '') return null;
  // Ids of other AMQP types (ulong, uuid, binary) are told apart from strings that look alike.
  const text = typeof typed.value === 'string' ? typed.value : `${typed.type.name}:${idDigits(typed.value)}`;
  if (text.length > MAX_ID_LENGTH) throw outOfRange(`${name} is longer than ${MAX_ID_LENGTH} characters.`);
  return text;
}

/** @param {unknown} value */
const idDigits = (value) => (Buffer.isBuffer(value) ? value.toString('hex') : String(value));

/** @param {any[]} keysAndValues @returns {number | null} ms since the epoch */
function scheduledTime(keysAndValues) {
  for (let index = 0; index < keysAndValues.length; index += 2) {
    if (keysAndValues[index].value === SCHEDULED_ENQUEUE_TIME) {
      const at = Number(keysAndValues[index + 1].value);
      if (!Number.isFinite(at)) throw argumentError(`${SCHEDULED_ENQUEUE_TIME} is not a timestamp.`);
      return at;
    }
  }
  return null;
}

const VBIN8 = 0xa0;
const VBIN32 = 0xb0;

/** @param {Buffer} encoded @param {number} at */
function binary(encoded, at) {
  if (encoded[at] === VBIN8) return encoded.subarray(at + 2, at + 2 + encoded[at + 1]);
  if (encoded[at] === VBIN32) return encoded.subarray(at + 5, at + 5 + encoded.readUInt32BE(at + 1));
  throw argumentError('A data section of the batch is not binary.');
}

// @ts-check
import { peek, sessionIds } from '../broker/browse.js';
import {
  argumentError,
  messageTooLarge,
  notAllowed,
  notImplemented,
  ServiceBusError,
  sessionLockLost,
} from '../broker/errors.js';
import { lockTokenToUuid, uuidToLockToken } from './encodings.js';
import { encodeForReceiver, readDraft } from './messages.js';
import { toAmqpError } from './producer.js';
import { MAX_MESSAGE_SIZE, types } from './rhea.js';
import { requestedSettlement, settle } from './settlement.js';

/**
 * @typedef {import('./request_response.js').Request} Request
 * @typedef {import('./request_response.js').Response} Response
 * @typedef {import('./consumer.js').Consumer} Consumer
 * @typedef {import('../broker/entity.js').Entity} Entity
 *
 * @typedef {object} Context what an operation works on
 * @property {Entity} entity
 * @property {Iterable<Consumer>} consumers of the same connection
 * @property {string | undefined} linkName the receiver on whose behalf the client asks
 * @property {() => any[]} typedBody the keys and values of the request's body with their AMQP types
 */

const FIRST = 0;
const MAX_PEEK = 250;
const MAX_PEEK_BYTES = 4 * 1024 * 1024;
const TIMESTAMP = 0x83;
const LONG = 0x81;
/** Later than any date: what clients send when they ask for all sessions. */
const MAX_DATE_MS = 253_402_214_400_000;

const array = (/** @type {any} */ value) =>
  Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];
const timestamp = (/** @type {number} */ ms) => types.wrap_timestamp(ms);

/**
 * What each operation answers: a body, or undefined for "no content".
 * @type {Record<string, (context: Context, body: any) => Promise<any>>}
 */
const operations = {
  async 'renew-lock'({ entity }, body) {
    const expirations = await entity.run((queue, now) =>
      lockTokens(body).map((token) => queue.renewMessageLock(token, now)),
    );
    return { expirations: types.wrap_array(expirations, TIMESTAMP, undefined) };
  },

  async 'renew-session-lock'(context, body) {
    const session = heldSession(context, body);
    return { expiration: timestamp(await context.entity.run((queue, now) => queue.renewSessionLock(session, now))) };
  },

  async 'get-session-state'(context, body) {
    const session = heldSession(context, body);
    return {
      'session-state': await context.entity.run(({ store }) => store.sessionStates.get(session.id)?.data ?? null),
    };
  },

  async 'set-session-state'(context, body) {
    const session = heldSession(context, body);
    const state = body['session-state'] ?? null;
    if (state !== null && !Buffer.isBuffer(state)) throw argumentError('session-state must be binary, or null.');
    if (state?.length > MAX_MESSAGE_SIZE) throw messageTooLarge(state.length, MAX_MESSAGE_SIZE);
    await context.entity.run((queue, now) => queue.store.setSessionState(session.id, state, now));
    return {};
  },

  async 'get-message-sessions'({ entity }, body) {
    const after = Number(body['last-updated-time'] ?? Infinity);
    const ids = await entity.run(({ store }) => sessionIds(store, after >= MAX_DATE_MS ? Infinity : after));
    const skip = whole(body.skip ?? 0, 'skip');
    const page = ids.slice(skip, skip + whole(body.top ?? ids.length, 'top'));
    return page.length > 0 ? { skip: types.wrap_int(skip + page.length), 'sessions-ids': page } : undefined;
  },

  async 'peek-message'({ entity }, body) {
    const count = Math.min(whole(body['message-count'], 'message-count'), MAX_PEEK);
    const from = whole(body['from-sequence-number'] ?? 0, 'from-sequence-number');
    const messages = await entity.run(({ store }) => peek(store, from, count, body['session-id'] ?? null));
    const answer = [];
    let size = 0;
    for (const each of messages) {
      const message = encodeForReceiver(each);
      // A client asks again for what does not fit, from the last number that it got.
      if (answer.length > 0 && (size += message.length) > MAX_PEEK_BYTES) break;
      answer.push({ message });
    }
    return answer.length > 0 ? { messages: answer } : undefined;
  },

  async 'receive-by-sequence-number'(context, body) {
    const session = context.entity.queue.properties.requiresSession ? heldSession(context, body) : null;
    const destructive = Number(body['receiver-settle-mode']) === FIRST;
    const messages = await context.entity.run((queue, now) =>
      queue.receiveDeferred(sequenceNumbers(body), now, { session, destructive }),
    );
    return {
      messages: messages.map((message) => ({
        message: encodeForReceiver(message),
        ...(message.lock && { 'lock-token': types.wrap_uuid(lockTokenToUuid(message.lock.token)) }),
      })),
    };
  },

  async 'update-disposition'({ entity, typedBody }, body) {
    const settlement = requestedSettlement(typedBody());
    await entity.run((queue, now) => {
      for (const token of lockTokens(body)) settle(queue, token, settlement, now);
    });
    return {};
  },

  async 'schedule-message'({ entity }, body) {
    const drafts = array(body.messages).map((each) => {
      const message = each?.message;
      if (!Buffer.isBuffer(message)) throw argumentError('A scheduled message must be binary.');
      if (message.length > MAX_MESSAGE_SIZE) throw messageTooLarge(message.length, MAX_MESSAGE_SIZE);
      return readDraft(message);
    });
    if (drafts.some(({ scheduledFor }) => scheduledFor === null))
      throw argumentError('A message has no scheduled enqueue time.');
    const numbers = await entity.run((queue, now) => queue.send(drafts, now));
    return { 'sequence-numbers': types.wrap_array(numbers, LONG, undefined) };
  },

  async 'cancel-scheduled-message'({ entity }, body) {
    await entity.run((queue) => queue.cancelScheduled(sequenceNumbers(body)));
    return {};
  },
};

const PREFIX = 'com.microsoft:';

/**
 * Answers a request to an entity's `$management` node
 * (learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response).
 * @param {Request} request
 * @param {Omit<Context, 'linkName' | 'typedBody'>} context
 * @param {(error: unknown) => void} report for faults that are not the client's
 * @returns {Promise<Response>}
 */
export async function answerManagement({ properties, body, typedBody }, context, report) {
  try {
    const name = String(properties.operation).replace(PREFIX, '');
    const operation = Object.hasOwn(operations, name) ? operations[name] : undefined;
    if (!operation) throw notImplemented(`The management operation '${properties.operation}' is not supported.`);
    const isMap = typeof (body ?? {}) === 'object' && !Array.isArray(body) && !Buffer.isBuffer(body);
    if (!isMap) throw argumentError('The body of a request must be a map.');
    const answer = await operation({ ...context, linkName: properties['associated-link-name'], typedBody }, body ?? {});
    return answer ? reply(200, 'OK', answer) : reply(204, 'No content', null);
  } catch (error) {
    if (!(error instanceof ServiceBusError)) report(error);
    const { condition, description } = toAmqpError(error);
    const status = error instanceof ServiceBusError ? error.status : 500;
    return reply(status, description, null, { errorCondition: types.wrap_symbol(condition) });
  }
}

/**
 * @param {number} status
 * @param {string} description
 * @param {any} body
 * @param {Record<string, any>} [more]
 * @returns {Response}
 */
function reply(status, description, body, more = {}) {
  return { properties: { statusCode: types.wrap_int(status), statusDescription: description, ...more }, body };
}

/** @param {any} body */
function lockTokens(body) {
  return array(body['lock-tokens']).map((uuid) => {
    if (!Buffer.isBuffer(uuid)) throw argumentError('lock-tokens must be UUIDs.');
    return uuidToLockToken(uuid);
  });
}

/** @param {any} body */
function sequenceNumbers(body) {
  return array(body['sequence-numbers']).map((number) => whole(number, 'sequence-numbers'));
}

/** @param {any} value @param {string} name @returns {number} */
function whole(value, name) {
  // Longs beyond what JavaScript can count in come as their bytes; no message has such a number.
  if (Buffer.isBuffer(value)) return Number.MAX_SAFE_INTEGER;
  if (!Number.isInteger(value)) throw argumentError(`${name} must be a whole number.`);
  return value;
}

/** The session that the asking link, or at least its connection, holds. @param {Context} context @param {any} body */
function heldSession({ entity, consumers, linkName }, body) {
  if (!entity.queue.properties.requiresSession) throw notAllowed('The entity does not require sessions.');
  for (const consumer of consumers) {
    const { session } = consumer;
    const asks = linkName === undefined || consumer.name === linkName;
    if (asks && session?.owner === consumer && session.id === body['session-id']) return session;
  }
  throw sessionLockLost();
}

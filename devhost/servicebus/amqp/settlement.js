// @ts-check
import { argumentError, messageTooLarge, notAllowed } from '../broker/errors.js';
import { withApplicationProperties } from './messages.js';
import { MAX_MESSAGE_SIZE, types } from './rhea.js';

/**
 * @typedef {import('../broker/queue.js').Queue} Queue
 *
 * @typedef {object} Settlement what a client wants to become of a message that it has locked
 * @property {'complete' | 'abandon' | 'release' | 'defer' | 'dead-letter'} kind
 * @property {any[]} [changes] application properties to set: AMQP-typed keys and values in turn
 * @property {import('../broker/model.js').DeadLetter} [deadLetter]
 */

const REASON = 'DeadLetterReason';
const DESCRIPTION = 'DeadLetterErrorDescription';
const KINDS = /** @type {const} */ ({
  completed: 'complete',
  abandoned: 'abandon',
  defered: 'defer',
  suspended: 'dead-letter',
});
const ERROR = 0;
const ERROR_INFO = 2;
const MESSAGE_ANNOTATIONS = 2;

/**
 * Applies a settlement to a locked message; all or nothing.
 * @param {Queue} queue
 * @param {string} token
 * @param {Settlement} settlement
 * @param {number} now ms since the epoch
 * @throws {import('../broker/errors.js').ServiceBusError} if the lock was lost, or the message may not be settled so
 */
export function settle(queue, token, { kind, changes = [], deadLetter }, now) {
  if (kind === 'dead-letter' && !queue.deadLetterQueue)
    throw notAllowed('A message in a dead-letter queue cannot be dead-lettered again.');
  if (changes.length > 0) queue.rewrite(token, (payload) => changed(payload, changes));
  switch (kind) {
    case 'complete':
      return queue.complete(token);
    case 'abandon':
      return queue.abandon(token, now);
    case 'release':
      return queue.release(token, now);
    case 'defer':
      return queue.defer(token, now);
    default:
      return queue.deadLetter(token, deadLetter ?? { reason: null, description: null }, now);
  }
}

/**
 * What a delivery outcome asks for. `modified` is an abandonment unless the message is undeliverable here, and counts
 * as a delivery: only the Python SDK sets `delivery_failed`, and the service counts for all of them.
 * @param {any} outcome a terminal outcome as rhea reads it; its raw fields still have their AMQP types
 * @returns {Settlement}
 */
export function settlementOf(outcome) {
  switch (outcome.constructor.composite_type) {
    case 'accepted':
      return { kind: 'complete' };
    case 'released':
      return { kind: 'release' };
    case 'rejected': {
      const info = mapFields(outcome.value[ERROR]?.value?.[ERROR_INFO], 'The info of the error');
      return {
        kind: 'dead-letter',
        changes: without(info, [REASON, DESCRIPTION]),
        deadLetter: {
          reason: text(info, REASON),
          description: text(info, DESCRIPTION) ?? outcome.error?.description ?? null,
        },
      };
    }
    default:
      return {
        kind: outcome.undeliverable_here ? 'defer' : 'abandon',
        changes: mapFields(outcome.value[MESSAGE_ANNOTATIONS], 'The message annotations of the outcome'),
      };
  }
}

/**
 * What the body of an `update-disposition` request asks for.
 * @param {any[]} fields AMQP-typed keys and values in turn
 * @returns {Settlement}
 */
export function requestedSettlement(fields) {
  const status = text(fields, 'disposition-status') ?? '';
  const kind = Object.hasOwn(KINDS, status) ? KINDS[/** @type {keyof typeof KINDS} */ (status)] : undefined;
  if (!kind) throw argumentError(`The disposition status '${status}' is unknown.`);
  const changes = mapFields(valueOf(fields, 'properties-to-modify'), 'properties-to-modify');
  return {
    kind,
    changes: without(changes, [REASON, DESCRIPTION]),
    deadLetter: {
      reason: text(fields, 'deadletter-reason') || text(changes, REASON),
      description: text(fields, 'deadletter-description') || text(changes, DESCRIPTION),
    },
  };
}

/** @param {Buffer} payload @param {any[]} changes */
function changed(payload, changes) {
  const result = withApplicationProperties(payload, changes);
  if (result.length > MAX_MESSAGE_SIZE) throw messageTooLarge(result.length, MAX_MESSAGE_SIZE);
  return result;
}

/** @param {any} typed @param {string} name @returns {any[]} */
function mapFields(typed, name) {
  if (!typed || typed.value === null || typed.value === undefined) return [];
  if (!types.is_map(typed) || typed.value.length % 2) throw argumentError(`${name} must be a map.`);
  return typed.value;
}

/** @param {any[]} fields @param {string} name */
function valueOf(fields, name) {
  for (let index = 0; index < fields.length; index += 2) if (fields[index].value === name) return fields[index + 1];
  return undefined;
}

/** @param {any[]} fields @param {string} name @returns {string | null} */
function text(fields, name) {
  const value = valueOf(fields, name)?.value ?? null;
  if (value !== null && typeof value !== 'string') throw argumentError(`${name} must be a string.`);
  return value;
}

/** @param {any[]} fields @param {string[]} names */
function without(fields, names) {
  return fields.filter((_, index) => !names.includes(fields[index - (index % 2)].value));
}

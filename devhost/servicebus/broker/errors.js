// @ts-check
/** The errors a broker can answer with, under the condition names that the Service Bus SDKs map to exceptions. */

/** A refusal that is told to the client: an AMQP condition, a sentence, and the status of a management reply. */
export class ServiceBusError extends Error {
  /**
   * @param {string} condition AMQP error condition (symbol)
   * @param {string} description what happened and what to do
   * @param {number} status HTTP-like code used in `$management` replies
   */
  constructor(condition, description, status) {
    super(description);
    this.name = 'ServiceBusError';
    this.condition = condition;
    this.status = status;
  }
}

/** The lock token is unknown: the lock expired, or the message was settled already. */
export const messageLockLost = () =>
  new ServiceBusError(
    'com.microsoft:message-lock-lost',
    'The lock supplied is invalid. Either the lock expired, or the message has already been removed from the queue.',
    410,
  );

/** The session lock expired, or the link that asks does not hold it. */
export const sessionLockLost = () =>
  new ServiceBusError(
    'com.microsoft:session-lock-lost',
    'The session lock has expired, or is not held by this link. Accept the session again.',
    410,
  );

/** Another receiver holds the session. @param {string} sessionId */
export const sessionCannotBeLocked = (sessionId) =>
  new ServiceBusError(
    'com.microsoft:session-cannot-be-locked',
    `The requested session '${sessionId}' cannot be accepted. It may be locked by another receiver.`,
    409,
  );

/** No session became available while the client was willing to wait. */
export const noSessionAvailable = () =>
  new ServiceBusError('com.microsoft:timeout', 'No session with messages became available within the given time.', 408);

/**
 * A request named messages that the queue does not have.
 * @param {number[]} sequenceNumbers
 * @param {string} state the state looked for
 */
export const messageNotFound = (sequenceNumbers, state) =>
  new ServiceBusError(
    'com.microsoft:message-not-found',
    `No ${state} message has sequence number ${sequenceNumbers.join(', ')}.`,
    404,
  );

/** The operation does not fit the entity. @param {string} description */
export const notAllowed = (description) => new ServiceBusError('amqp:not-allowed', description, 400);

/** A message without a session was sent to a queue that requires sessions. */
export const sessionIdMissing = () =>
  notAllowed(
    'The SessionId was not set on a message, and it cannot be sent to the entity. Entities that have session ' +
      'support enabled can only receive messages that have the SessionId set to a valid value.',
  );

/** There is no such entity. @param {string} description */
export const notFound = (description) => new ServiceBusError('amqp:not-found', description, 404);

/** An entity of this name is there already. @param {string} name */
export const alreadyExists = (name) =>
  new ServiceBusError('com.microsoft:entity-already-exists', `The messaging entity '${name}' already exists.`, 409);

/** The entity was deleted while a client used it. @param {string} name */
export const entityDeleted = (name) =>
  new ServiceBusError('amqp:not-found', `The messaging entity '${name}' has been deleted.`, 404);

/** Service Bus can do it, this emulator cannot. @param {string} description */
export const notImplemented = (description) => new ServiceBusError('amqp:not-implemented', description, 501);

/** The bytes are not what AMQP says they should be. @param {string} description */
export const decodeError = (description) => new ServiceBusError('amqp:decode-error', description, 400);

/** A field of an AMQP frame is not what it must be. @param {string} description */
export const invalidField = (description) => new ServiceBusError('amqp:invalid-field', description, 400);

/** An argument is missing or of the wrong kind. @param {string} description */
export const argumentError = (description) => new ServiceBusError('com.microsoft:argument-error', description, 400);

/** An argument is too long, too large or too small. @param {string} description */
export const outOfRange = (description) => new ServiceBusError('com.microsoft:argument-out-of-range', description, 400);

/** The message is larger than a link allows. @param {number} size bytes @param {number} limit bytes */
export const messageTooLarge = (size, limit) =>
  new ServiceBusError(
    'amqp:link:message-size-exceeded',
    `The received message (${size} bytes) exceeds the limit (${limit} bytes) currently allowed on the link.`,
    403,
  );

// @ts-check
/**
 * The broker's vocabulary, as types only.
 *
 * @typedef {object} QueueProperties
 * @property {string} name
 * @property {boolean} requiresSession
 * @property {number} lockDurationMs
 * @property {number} maxDeliveryCount failed deliveries after which a message is dead-lettered
 * @property {number} defaultTtlMs also the longest that a message may live; Infinity means for ever
 * @property {number} duplicateWindowMs 0 turns duplicate detection off
 * @property {boolean} deadLetterOnExpiry
 *
 * @typedef {object} Draft a message as a sender hands it in
 * @property {string | null} messageId
 * @property {string | null} sessionId
 * @property {number} ttlMs Infinity when the sender set none
 * @property {number | null} scheduledFor ms since the epoch
 * @property {Buffer} payload the message as its sender encoded it; opaque to the broker
 *
 * @typedef {'active' | 'deferred' | 'scheduled'} MessageState
 *
 * @typedef {object} DeadLetter why a message was dead-lettered
 * @property {string | null} reason
 * @property {string | null} description
 *
 * @typedef {object} Lock a peek-lock; it lives in memory only, so a restart releases it
 * @property {string} token UUID in its canonical text form
 * @property {number} until ms since the epoch; a message of a session is locked for as long as the session is
 * @property {import('./sessions.js').Session | null} session the session that holds the message, if any
 *
 * @typedef {object} Message
 * @property {number} sequenceNumber
 * @property {string | null} messageId
 * @property {string | null} sessionId
 * @property {number} enqueuedAt ms since the epoch
 * @property {number} ttlMs as asked by the sender and capped by the queue; Infinity means for ever
 * @property {number} expiresAt ms since the epoch, or Infinity
 * @property {number | null} scheduledFor ms since the epoch while the message is scheduled
 * @property {MessageState} state
 * @property {number} deliveryCount failed deliveries so far
 * @property {DeadLetter | null} deadLetter
 * @property {Buffer} payload
 * @property {Lock | null} lock
 * @property {number} [deadline]
 * @property {number} [slot]
 *
 * @typedef {Record<string, any> & {op: string, q: string}} JournalRecord a change `op` to the queue named `q`
 */
export {};

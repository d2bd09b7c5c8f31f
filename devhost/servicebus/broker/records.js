// @ts-check
/**
 * How a message is written in the journal.
 * @typedef {import('./model.js').Message} Message
 * @typedef {import('./model.js').JournalRecord} JournalRecord
 */

/** @param {Message} message */
export function toRecord(message) {
  return {
    seq: message.sequenceNumber,
    id: message.messageId,
    sid: message.sessionId,
    at: message.enqueuedAt,
    ttl: message.ttlMs === Infinity ? null : message.ttlMs,
    due: message.scheduledFor,
    state: message.state,
    n: message.deliveryCount,
    dead: message.deadLetter,
    payload: message.payload.toString('base64'),
  };
}

/** @param {JournalRecord} record @returns {Message} */
export function fromRecord(record) {
  const ttlMs = record.ttl ?? Infinity;
  return {
    sequenceNumber: record.seq,
    messageId: record.id,
    sessionId: record.sid,
    enqueuedAt: record.at,
    ttlMs,
    expiresAt: record.at + ttlMs,
    scheduledFor: record.due,
    state: record.state,
    deliveryCount: record.n,
    deadLetter: record.dead,
    payload: Buffer.from(record.payload, 'base64'),
    lock: null,
  };
}

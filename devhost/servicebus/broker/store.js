// @ts-check
import { DuplicateHistory } from './duplicates.js';
import { messageNotFound } from './errors.js';
import { fromRecord, toRecord } from './records.js';

/**
 * @typedef {import('./model.js').Message} Message
 * @typedef {import('./model.js').DeadLetter} DeadLetter
 * @typedef {import('./model.js').JournalRecord} JournalRecord
 */

/** Everything of one queue that survives a restart; every change to it is written as one journal record. */
export class MessageStore {
  /** @type {Map<number, Message>} */
  messages = new Map();
  /** @type {Map<string, {data: Buffer, updatedAt: number}>} */
  sessionStates = new Map();
  #lastSequenceNumber = 0;
  #write;

  /**
   * @param {string} queueName
   * @param {number} duplicateWindowMs
   * @param {MessageStore | null} deadLetters where dead-lettered messages go; null in a dead-letter queue
   * @param {(record: JournalRecord) => void} write
   */
  constructor(queueName, duplicateWindowMs, deadLetters, write) {
    this.queueName = queueName;
    this.duplicates = new DuplicateHistory(duplicateWindowMs);
    this.deadLetters = deadLetters;
    this.#write = write;
  }

  /** @param {Omit<Message, 'sequenceNumber' | 'lock'>} draft */
  enqueue(draft) {
    const message = { ...draft, sequenceNumber: this.#lastSequenceNumber + 1, lock: null };
    this.#insert(message);
    this.#noteDuplicate(message);
    this.#emit({ op: 'enqueue', ...toRecord(message) });
    return message;
  }

  /** @param {Message} message */
  remove(message) {
    this.messages.delete(message.sequenceNumber);
    this.#emit({ op: 'remove', seq: message.sequenceNumber });
  }

  /** @param {Message} message @param {number} deliveryCount */
  count(message, deliveryCount) {
    message.deliveryCount = deliveryCount;
    this.#emit({ op: 'count', seq: message.sequenceNumber, n: deliveryCount });
  }

  /** @param {Message} message @param {Buffer} payload */
  rewrite(message, payload) {
    message.payload = payload;
    this.#emit({ op: 'rewrite', seq: message.sequenceNumber, payload: payload.toString('base64') });
  }

  /** @param {Message} message */
  defer(message) {
    message.state = 'deferred';
    this.#emit({ op: 'defer', seq: message.sequenceNumber });
  }

  /**
   * Turns a scheduled message into an active one: as if it were sent now, with a new sequence number
   * (learn.microsoft.com/azure/service-bus-messaging/message-sequencing#scheduled-messages).
   * @param {Message} message
   * @param {number} now ms since the epoch
   */
  activate(message, now) {
    const seq = message.sequenceNumber;
    this.messages.delete(seq);
    message.sequenceNumber = this.#lastSequenceNumber + 1;
    message.enqueuedAt = now;
    message.expiresAt = now + message.ttlMs;
    message.scheduledFor = null;
    message.state = 'active';
    this.#insert(message);
    this.#emit({ op: 'activate', seq, at: now });
  }

  /**
   * Moves a message to the dead-letter queue, where it keeps its sequence number and never expires.
   * @param {Message} message
   * @param {DeadLetter} deadLetter
   */
  moveToDeadLetters(message, deadLetter) {
    const deadLetters = /** @type {MessageStore} */ (this.deadLetters);
    this.messages.delete(message.sequenceNumber);
    message.deadLetter = deadLetter;
    message.state = 'active';
    message.ttlMs = message.expiresAt = Infinity;
    deadLetters.#insert(message);
    this.#emit({ op: 'dead-letter', seq: message.sequenceNumber, ...deadLetter });
  }

  /**
   * Returns the messages of these numbers, each once; throws `message-not-found` if one is missing or not as wanted.
   * @param {number[]} sequenceNumbers @param {string} state @param {(message: Message) => boolean} accepts
   */
  all(sequenceNumbers, state, accepts) {
    return [...new Set(sequenceNumbers)].map((sequenceNumber) => {
      const message = this.messages.get(sequenceNumber);
      if (!message || message.state !== state || !accepts(message)) throw messageNotFound([sequenceNumber], state);
      return message;
    });
  }

  /**
   * @param {string} sessionId
   * @param {Buffer | null} data null clears the state
   * @param {number} now ms since the epoch
   */
  setSessionState(sessionId, data, now) {
    if (data) this.sessionStates.set(sessionId, { data, updatedAt: now });
    else this.sessionStates.delete(sessionId);
    this.#emit({ op: 'session-state', sid: sessionId, at: now, data: data?.toString('base64') ?? null });
  }

  /**
   * Repeats one journalled change.
   * @param {JournalRecord} record
   * @throws {Error} if the record does not fit what came before it
   */
  restore(record) {
    const write = this.#write;
    this.#write = () => {};
    try {
      this.#replay(record);
    } finally {
      this.#write = write;
    }
  }

  /** The shortest list of records that restores this store. @returns {Iterable<JournalRecord>} */
  *snapshot() {
    const q = this.queueName;
    for (const [id, { at, sequenceNumber }] of this.duplicates.entries())
      yield { op: 'seen', q, id, at, seq: sequenceNumber };
    for (const message of this.messages.values()) yield { op: 'message', q, ...toRecord(message) };
    for (const [sid, { data, updatedAt }] of this.sessionStates) {
      yield { op: 'session-state', q, sid, at: updatedAt, data: data.toString('base64') };
    }
    yield { op: 'sequence', q, seq: this.#lastSequenceNumber };
  }

  /** @param {JournalRecord} record */
  #replay(record) {
    switch (record.op) {
      case 'enqueue':
        this.#noteDuplicate(this.#insert(fromRecord(record)));
        break;
      case 'message':
        this.#insert(fromRecord(record));
        break;
      case 'remove':
        this.remove(this.#existing(record));
        break;
      case 'count':
        this.count(this.#existing(record), record.n);
        break;
      case 'rewrite':
        this.rewrite(this.#existing(record), Buffer.from(record.payload, 'base64'));
        break;
      case 'defer':
        this.defer(this.#existing(record));
        break;
      case 'activate':
        this.activate(this.#existing(record), record.at);
        break;
      case 'dead-letter':
        this.moveToDeadLetters(this.#existing(record), { reason: record.reason, description: record.description });
        break;
      case 'session-state':
        this.setSessionState(record.sid, record.data === null ? null : Buffer.from(record.data, 'base64'), record.at);
        break;
      case 'seen':
        this.duplicates.note(record.id, { at: record.at, sequenceNumber: record.seq });
        break;
      case 'sequence':
        this.#lastSequenceNumber = record.seq;
        break;
      default:
        throw new Error(`unknown operation '${record.op}'`);
    }
  }

  /** @param {Message} message */
  #insert(message) {
    this.messages.set(message.sequenceNumber, message);
    this.#lastSequenceNumber = Math.max(this.#lastSequenceNumber, message.sequenceNumber);
    return message;
  }

  /** @param {Message} message */
  #noteDuplicate({ messageId, enqueuedAt, sequenceNumber }) {
    if (messageId !== null) this.duplicates.note(messageId, { at: enqueuedAt, sequenceNumber });
  }

  /** @param {JournalRecord} record */
  #existing(record) {
    const message = this.messages.get(record.seq);
    if (!message) throw new Error(`'${record.op}' of message ${record.seq}, which queue '${record.q}' does not hold`);
    return message;
  }

  /** @param {Record<string, any> & {op: string}} record */
  #emit(record) {
    this.#write({ q: this.queueName, ...record });
  }
}

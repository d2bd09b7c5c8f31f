// @ts-check
import { invalidField, notAllowed, ServiceBusError } from '../broker/errors.js';
import { lockTokenToTag, ticks } from './encodings.js';
import { encodeForReceiver } from './messages.js';
import { toAmqpError } from './producer.js';
import {
  capacityOf,
  closeWithError,
  deferAttach,
  drainAtOnce,
  MAX_MESSAGE_SIZE,
  openLink,
  outcomes,
  transfer,
  types,
} from './rhea.js';
import { settle, settlementOf } from './settlement.js';

/**
 * @typedef {import('../broker/sessions.js').Session} Session
 * @typedef {import('../broker/model.js').Message} Message
 */

const SESSION_FILTER = 'com.microsoft:session-filter';
const TIMEOUT_PROPERTY = 'com.microsoft:timeout';
const DEFAULT_ACCEPT_TIMEOUT_MS = 60_000;
const SETTLED = 1;

/** A link on which a client receives messages from an entity, or from one session of it. */
export class Consumer {
  /** @type {Session | null} */
  session = null;
  /** @type {Set<any>} rhea deliveries without an answered outcome */
  #unsettled = new Set();
  #link;
  #entity;
  #report;

  /**
   * Answers the attach of `link`, at once or when a session is found.
   * @param {any} link rhea sender
   * @param {import('../broker/entity.js').Entity} entity
   * @param {(error: unknown) => void} report for faults that are not the client's
   */
  constructor(link, entity, report) {
    this.#link = link;
    this.#entity = entity;
    this.#report = report;
    this.destructive = link.snd_settle_mode === SETTLED;
    const filter = filterOf(link);
    link.set_source({ address: link.source.address, filter });
    link.set_target({ address: link.target?.address });
    Object.assign(link.local.attach, {
      snd_settle_mode: link.snd_settle_mode,
      rcv_settle_mode: link.rcv_settle_mode,
      max_message_size: MAX_MESSAGE_SIZE,
    });
    drainAtOnce(link);
    link.on('sender_flow', () => entity.wake());
    link.on('sender_draining', () => this.#drain());
    for (const outcome of ['accepted', 'rejected', 'released', 'modified']) {
      link.on(outcome, (/** @type {any} */ { delivery }) => this.#settle(delivery, delivery.remote_state));
    }
    link.on('settled', (/** @type {any} */ { delivery }) => this.#forget(delivery));
    this.#attach(filter);
  }

  get name() {
    return this.#link.name;
  }

  /** How many messages the client can take right now. */
  capacity() {
    return capacityOf(this.#link);
  }

  /** @param {Message} message */
  deliver(message) {
    // Receive-and-delete messages have no lock; any tag that is unique on the link will do.
    const tag = message.lock ? lockTokenToTag(message.lock.token) : Buffer.from(`${message.sequenceNumber}`);
    const delivery = transfer(this.#link, encodeForReceiver(message), { tag, settled: !message.lock });
    if (!message.lock) return;
    delivery.lockToken = message.lock.token;
    this.#unsettled.add(delivery);
  }

  /** @param {Session} session */
  sessionGranted(session) {
    this.session = session;
    const link = this.#link;
    link.set_source({ address: link.source.address, filter: { [SESSION_FILTER]: session.id } });
    link.local.attach.properties = { 'com.microsoft:locked-until-utc': types.wrap_long(ticks(session.lockedUntil)) };
    openLink(link);
  }

  /** @param {Error} error */
  refused(error) {
    closeWithError(this.#link, toAmqpError(error));
  }

  /** To be called when the link, its session or its connection has ended; harmless when called again. */
  closed() {
    for (const delivery of this.#unsettled) this.#drop(delivery);
    this.#entity.detach(this);
  }

  /** @param {Record<string, any> | undefined} filter */
  #attach(filter) {
    if (!filter || !(SESSION_FILTER in filter)) {
      if (this.#entity.queue.properties.requiresSession) {
        throw notAllowed(
          'It is not possible for an entity that requires sessions to create a non-sessionful message receiver.',
        );
      }
      this.#entity.attach(this);
      return;
    }
    const sessionId = filter[SESSION_FILTER]?.value ?? filter[SESSION_FILTER];
    if (sessionId !== null && typeof sessionId !== 'string') {
      throw invalidField('The session id of a session filter must be a string, or null for the next session.');
    }
    const timeoutMs = Number(this.#link.properties?.[TIMEOUT_PROPERTY] ?? DEFAULT_ACCEPT_TIMEOUT_MS);
    deferAttach(this.#link);
    this.#entity.acceptSession(this, sessionId, timeoutMs >= 0 ? timeoutMs : DEFAULT_ACCEPT_TIMEOUT_MS);
  }

  #drain() {
    this.#entity.wake();
    this.#link.set_drained(true);
  }

  /** @param {any} delivery @param {any} outcome */
  async #settle(delivery, outcome) {
    const token = delivery.lockToken;
    if (token === undefined) return;
    delivery.lockToken = undefined;
    try {
      const echo = await this.#apply(token, outcome);
      this.#reply(delivery, echo);
    } catch (error) {
      if (!(error instanceof ServiceBusError)) this.#report(error);
      this.#reply(delivery, outcomes.rejected(toAmqpError(error)));
    }
  }

  /**
   * Applies an outcome and returns the same one, which tells the client that it was applied.
   * @param {string} token
   * @param {any} outcome
   */
  async #apply(token, outcome) {
    const settlement = settlementOf(outcome);
    await this.#entity.run((queue, now) => settle(queue, token, settlement, now));
    switch (outcome.constructor.composite_type) {
      case 'accepted':
        return outcomes.accepted();
      case 'released':
        return outcomes.released();
      case 'rejected':
        return outcomes.rejected();
      default:
        return outcomes.modified({
          delivery_failed: Boolean(outcome.delivery_failed),
          undeliverable_here: Boolean(outcome.undeliverable_here),
        });
    }
  }

  /** A delivery that is settled without an outcome is given back; rhea can then drop it. @param {any} delivery */
  #forget(delivery) {
    this.#drop(delivery);
    const token = delivery.lockToken;
    delivery.lockToken = undefined;
    if (token !== undefined) this.#entity.run((queue, now) => queue.release(token, now)).catch(() => {});
  }

  /** @param {any} delivery @param {any} state */
  #reply(delivery, state) {
    if (this.#link.is_open()) delivery.update(true, state);
    this.#drop(delivery);
  }

  /**
   * Lets rhea forget a delivery: the client sends nothing more about it, and rhea would keep it for ever.
   * @param {any} delivery
   */
  #drop(delivery) {
    delivery.settled = delivery.remote_settled = true;
    this.#unsettled.delete(delivery);
  }
}

/** @param {any} link @returns {Record<string, any> | undefined} */
function filterOf(link) {
  const filter = link.source.filter ?? undefined;
  if (filter !== undefined && (typeof filter !== 'object' || Array.isArray(filter) || Buffer.isBuffer(filter))) {
    throw invalidField('The filter of a source must be a map.');
  }
  return filter;
}

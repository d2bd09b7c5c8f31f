// @ts-check
/** The only importer of rhea, and the one place where its habits are bent to what a Service Bus broker needs. */
import rhea from 'rhea';
import { guard, MAX_FRAME_SIZE } from './guards.js';

/** rhea's AMQP types; its own type declarations leave half of them out. */
export const types = /** @type {any} */ (rhea.types);

const MAX_EMPTY_ITEMS = 65_536;
const readItems = types.Reader.prototype.read_array_items;
// The items of an array may take no bytes at all, so that rhea would read 2^32 of them out of nothing.
types.Reader.prototype.read_array_items = function (/** @type {number} */ count, /** @type {any} */ type) {
  if (count > Math.max(this.remaining(), MAX_EMPTY_ITEMS)) throw new RangeError(`an array of ${count} items`);
  return readItems.call(this, count, type);
};

const decode = rhea.message.decode.bind(rhea.message);

// rhea decodes every message it receives, which loses AMQP types (a long becomes a number, a symbol a string).
// A broker must hand on what it was given, byte for byte, so links get the encoded message instead.
rhea.message.decode = /** @type {any} */ ((/** @type {Buffer} */ encoded) => encoded);

/**
 * Decodes a message into plain JavaScript values, for requests that the broker itself answers.
 * @param {Buffer} encoded
 */
export const decodeMessage = (encoded) => /** @type {any} */ (decode(encoded));

/** @param {object} message @returns {Buffer} */
export const encodeMessage = (message) => /** @type {any} */ (rhea.message.encode(/** @type {any} */ (message)));

/**
 * Options that rhea reads from each connection. The buffer holds the unsettled deliveries of an AMQP session;
 * rhea throws when it overflows, so consumers count its room as credit.
 */
const CONNECTION_OPTIONS = { session_buffer_size: 8192, max_frame_size: MAX_FRAME_SIZE, idle_time_out: 240_000 };

/** Bytes of an encoded message or batch; the Standard tier's limit. */
export const MAX_MESSAGE_SIZE = 262_144;

const accepts = () => ({ outcome: true, username: undefined, start() {} });

/**
 * Makes a container for server use. Its links leave settling, accepting and outcomes to their owner.
 * Every client is let in: there is nothing to protect on a development machine.
 */
export function createContainer() {
  const container = /** @type {any} */ (rhea).create_container({
    id: 'servicebus-emulator',
    sender_options: { autosettle: false, treat_modified_as_released: false },
    receiver_options: { autoaccept: false, credit_window: 500 },
  });
  // With ANONYMOUS among them rhea waits for the client's header before it sends, as Service Bus clients expect.
  for (const mechanism of ['ANONYMOUS', 'PLAIN', 'MSSBCBS', 'EXTERNAL']) {
    container.sasl_server_mechanisms[mechanism] = accepts;
  }
  return container;
}

/**
 * Speaks AMQP with a client that has connected; one that does not know how to is cut off.
 * @param {any} container
 * @param {import('node:net').Socket} socket
 * @returns {any} rhea connection
 */
export function acceptConnection(container, socket) {
  const connection = container.create_connection({ ...CONNECTION_OPTIONS });
  for (const event of ['protocol_error', 'error']) {
    connection.on(event, (/** @type {Error} */ error) => socket.destroy(error));
  }
  guard(connection, socket, MAX_MESSAGE_SIZE);
  return connection.accept(socket);
}

/**
 * Takes back the attach that rhea is about to answer with, so that it can be sent later by `link.open()`.
 * A receiver that asks for the next available session is answered only when there is one.
 * @param {any} link
 */
export function deferAttach(link) {
  link.state.local_open = false;
  link.state.open_requests = 0;
  link.attachIsDue = true;
}

/** Answers the detach of a link whose attach was never answered: both are due. @param {any} link */
export function answerDetach(link) {
  if (!link.attachIsDue) return;
  openLink(link);
  link.close();
}

/** Answers an attach. @param {any} link */
export function openLink(link) {
  link.attachIsDue = false;
  link.open();
}

/**
 * An error with all three fields of its list: rhea leaves out the last ones when they are not set, and the
 * Python SDK reads them by position.
 * @param {{condition: string, description: string}} error
 */
export const wholeError = (error) => ({ ...error, info: null });

/**
 * Refuses or ends a link: a refused one is attached without source and target first, as AMQP 2.6.3 asks.
 * @param {any} link
 * @param {{condition: string, description: string}} error
 */
export function closeWithError(link, error) {
  if (!link.is_remote_open()) return;
  openLink(link);
  const attachUnsent = link.state.open_requests > 0;
  if (attachUnsent) Object.assign(link.local.attach, { source: undefined, target: undefined, properties: undefined });
  link.close(wholeError(error));
}

/**
 * Drains a link at once, where rhea counts every credit down: of up to 2^32, or without end if a client's flow that
 * crossed with messages on their way to it left the link with less than no credit (AMQP 2.6.7).
 * @param {any} link rhea sender
 */
export function drainAtOnce(link) {
  link._get_drain = () => {
    const credit = Math.max(0, link.credit) || 0;
    link.credit = 0;
    if (!link._draining || !link._drained || credit === 0) return false;
    link.delivery_count = (link.delivery_count + credit) >>> 0;
    return true;
  };
}

/**
 * How many messages a link can send right now: by the client's credit, the session's window and rhea's buffer.
 * @param {any} link rhea sender
 */
export function capacityOf(link) {
  if (!link.is_open()) return 0;
  const { outgoing } = link.session;
  return Math.min(link.credit, outgoing.transfer_window(), outgoing.available()) || 0;
}

/**
 * Sends an encoded message at once; to be called within the link's capacity. rhea would put it off to the next
 * tick, when the credit may be gone; and as it sends strictly in order, all links of the session would then wait.
 * @param {any} link rhea sender
 * @param {Buffer} encoded
 * @param {{tag?: Buffer, settled: boolean}} options
 * @returns {any} rhea delivery
 */
export function transfer(link, encoded, { tag, settled }) {
  // A client that gives credit right behind its attach must get the answer to the attach first.
  if (link.state.open_requests > 0) link.connection._process();
  const delivery = link.send(encoded, tag, 0);
  delivery.settled = settled;
  link.session.outgoing.process();
  return delivery;
}

/** Outcomes as rhea wants them in a disposition. */
export const outcomes = {
  accepted: () => /** @type {any} */ (rhea.message).accepted().described(),
  released: () => /** @type {any} */ (rhea.message).released().described(),
  /** @param {{delivery_failed: boolean, undeliverable_here: boolean}} fields */
  modified: (fields) => /** @type {any} */ (rhea.message).modified(fields).described(),
  /** @param {{condition: string, description: string}} [error] */
  rejected: (error) =>
    /** @type {any} */ (rhea.message).rejected(error ? { error: wholeError(error) } : {}).described(),
};

// @ts-check
import { decodeError, messageTooLarge, ServiceBusError } from '../broker/errors.js';
import { capacityOf, decodeMessage, encodeMessage, MAX_MESSAGE_SIZE, outcomes, transfer } from './rhea.js';
import { readFields, SECTION, splitSections } from './sections.js';

/**
 * @typedef {object} Request
 * @property {any} messageId AMQP-typed, to be echoed with the same type
 * @property {string | null} replyTo
 * @property {Record<string, any>} properties application properties
 * @property {any} body decoded
 * @property {() => any[]} typedBody the fields of the body with their AMQP types, which `body` does not have
 *
 * @typedef {object} Response
 * @property {Record<string, any>} properties application properties
 * @property {any} body
 */

const PROPERTIES_MESSAGE_ID = 0;
const PROPERTIES_REPLY_TO = 4;

/**
 * The request/response nodes (`$cbs`, `$management`) of one connection: requests come in on one link,
 * and each answer goes out on the client's receiving link that the request names.
 */
export class RequestResponse {
  /** @type {Set<any>} rhea senders, on which answers go out */
  #replyLinks = new Set();

  /** Serves a link on which the client receives answers. @param {any} link rhea sender */
  attachReplies(link) {
    link.set_source({ address: link.source.address });
    link.set_target({ address: link.target?.address });
    link.unsent = [];
    link.on('sendable', () => sendReplies(link));
    link.on('sender_close', () => this.#replyLinks.delete(link));
    this.#replyLinks.add(link);
  }

  /**
   * Serves a link on which the client sends requests.
   * @param {any} link rhea receiver
   * @param {(request: Request) => Promise<Response>} handle
   * @param {(error: unknown) => void} report for faults that are not the client's
   */
  attachRequests(link, handle, report) {
    link.set_source({ address: link.source?.address });
    link.set_target({ address: link.target.address });
    link.on('message', async (/** @type {any} */ { message: encoded, delivery }) => {
      let request;
      try {
        if (link.messageSize > MAX_MESSAGE_SIZE) throw messageTooLarge(link.messageSize, MAX_MESSAGE_SIZE);
        request = readRequest(encoded);
      } catch (error) {
        const refusal = error instanceof ServiceBusError ? error : decodeError('The request cannot be decoded.');
        delivery.update(true, outcomes.rejected({ condition: refusal.condition, description: refusal.message }));
        return;
      }
      delivery.update(true, outcomes.accepted());
      try {
        this.#reply(link.target.address, request, await handle(request));
      } catch (error) {
        report(error);
      }
    });
  }

  /** @param {string} node @param {Request} request @param {Response} response */
  #reply(node, request, response) {
    const links = [...this.#replyLinks];
    const link =
      links.find(({ target }) => request.replyTo !== null && target?.address === request.replyTo) ??
      links.find(({ source }) => source.address === node);
    // Without a link to answer on, the client has gone or will time out, as it would with the service.
    if (!link) return;
    link.unsent.push(
      encodeMessage({
        correlation_id: request.messageId,
        application_properties: response.properties,
        body: response.body,
      }),
    );
    sendReplies(link);
  }
}

/** Sends as many answers as the client can take, settled: clients do not settle answers. @param {any} link */
function sendReplies(link) {
  while (link.unsent.length > 0 && capacityOf(link) > 0) transfer(link, link.unsent.shift(), { settled: true });
}

/** @param {Buffer} encoded @returns {Request} */
function readRequest(encoded) {
  const sections = splitSections(encoded);
  const read = (/** @type {number} */ code) =>
    readFields(
      encoded,
      sections.find((section) => section.code === code),
    );
  const fields = read(SECTION.properties);
  const message = decodeMessage(encoded);
  return {
    messageId: fields[PROPERTIES_MESSAGE_ID],
    replyTo: fields[PROPERTIES_REPLY_TO]?.value ?? null,
    properties: message.application_properties ?? {},
    body: message.body,
    typedBody: () => read(SECTION.value),
  };
}

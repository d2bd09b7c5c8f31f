// @ts-check
import { messageTooLarge, notAllowed, notImplemented, ServiceBusError } from '../broker/errors.js';
import { readBatch, readDraft } from './messages.js';
import { MAX_MESSAGE_SIZE, outcomes, types } from './rhea.js';

const MESSAGE_FORMAT = 0;
const BATCH_FORMAT = 0x8001_3700;

/**
 * Serves a link on which a client sends messages to an entity.
 * @param {any} link rhea receiver
 * @param {import('../broker/entity.js').Entity} entity
 * @param {(error: unknown) => void} report for faults that are not the client's
 */
export function serveProducer(link, entity, report) {
  if (!entity.queue.deadLetterQueue) throw notAllowed('Messages cannot be sent to a dead-letter queue.');
  link.set_source({ address: link.source?.address });
  link.set_target({ address: link.target.address });
  link.local.attach.max_message_size = MAX_MESSAGE_SIZE;
  link.local.attach.properties = { 'com.microsoft:max-message-batch-size': types.wrap_uint(MAX_MESSAGE_SIZE) };
  link.on('message', async (/** @type {any} */ { message, delivery }) => {
    const size = link.messageSize;
    try {
      if (size > MAX_MESSAGE_SIZE) throw messageTooLarge(size, MAX_MESSAGE_SIZE);
      const drafts = readTransfer(message, delivery.format);
      await entity.run((queue, now) => queue.send(drafts, now));
      delivery.update(true, outcomes.accepted());
    } catch (error) {
      if (!(error instanceof ServiceBusError)) report(error);
      delivery.update(true, outcomes.rejected(toAmqpError(error)));
    }
  });
}

/**
 * The AMQP error for anything thrown while serving a client.
 * @param {unknown} error
 */
export function toAmqpError(error) {
  if (error instanceof ServiceBusError) return { condition: error.condition, description: error.message };
  return { condition: 'amqp:internal-error', description: 'The emulator failed; its log on stderr says why.' };
}

/** @param {Buffer} encoded @param {number | undefined} format */
function readTransfer(encoded, format) {
  if (format === BATCH_FORMAT) return readBatch(encoded).map(readDraft);
  if (!format || format === MESSAGE_FORMAT) return [readDraft(encoded)];
  throw notImplemented(`Message format 0x${format.toString(16)} is not supported.`);
}

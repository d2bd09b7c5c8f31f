// @ts-check
import { invalidField, notFound, notImplemented } from '../broker/errors.js';

const MANAGEMENT = '/$management';

/**
 * @typedef {object} Address
 * @property {'cbs' | 'management' | 'entity'} kind
 * @property {import('../broker/entity.js').Entity} [entity]
 */

/**
 * Resolves the address of a link: `amqps://host/queue`, `queue/$DeadLetterQueue`, `queue/$management` or `$cbs`.
 * @param {unknown} address
 * @param {import('../broker/broker.js').Broker} broker
 * @returns {Address}
 * @throws {import('../broker/errors.js').ServiceBusError} if there is no such entity, or its kind is not supported
 */
export function resolve(address, broker) {
  if (!address)
    throw notImplemented('Links need an address: anonymous relays, dynamic nodes and transactions are not supported.');
  if (typeof address !== 'string') throw invalidField('The address of a link must be a string.');
  const path = decoded(address.replace(/^(?:amqps?|sb):\/\/[^/]*/i, '').replace(/^\/+|\/+$/g, ''));
  if (path.toLowerCase() === '$cbs') return { kind: 'cbs' };
  const isManagement = path.toLowerCase().endsWith(MANAGEMENT);
  const name = isManagement ? path.slice(0, -MANAGEMENT.length) : path;
  if (/\/subscriptions\//i.test(name)) throw notImplemented(`'${name}': topics and subscriptions are not supported.`);
  const entity = broker.find(name);
  if (!entity) throw notFound(`The messaging entity '${name}' could not be found; it is not in the topology file.`);
  return { kind: isManagement ? 'management' : 'entity', entity };
}

/** @param {string} path */
function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

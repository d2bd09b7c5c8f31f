// @ts-check
import { createServer } from 'node:http';
import { DEAD_LETTER_SUFFIX } from '../broker/broker.js';
import { argumentError, notFound, notImplemented, ServiceBusError } from '../broker/errors.js';
import { counts, errorDocument, feed, namespaceEntry, queueEntry, readQueue } from './atom.js';

/**
 * @typedef {import('../broker/broker.js').Broker} Broker
 * @typedef {import('node:http').IncomingMessage} IncomingMessage
 *
 * @typedef {object} Answer
 * @property {number} status
 * @property {string} [body]
 * @property {string} [type]
 */

const MAX_BODY_BYTES = 65_536;
const IDLE_MS = 60_000;
const NAMESPACE = 'sbemulatorns';
const ATOM_TYPE = 'application/atom+xml;type=entry;charset=utf-8';
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i;

/**
 * The calls of `ServiceBusAdministrationClient` that setting up queues needs, over plain HTTP: create, get, list and
 * delete queues, with their counts of messages; and `/`, the same as JSON for people.
 * @param {Broker} broker
 * @param {(error: unknown) => void} report for faults that are not the client's
 * @returns {import('node:http').Server} that is given its sockets; it listens nowhere
 */
export function createAdministration(broker, report) {
  const startedAt = new Date().toISOString();
  const server = createServer(async (request, response) => {
    const { status, body = '', type = ATOM_TYPE } = await answer(request, broker, startedAt).catch((error) => {
      if (!(error instanceof ServiceBusError)) report(error);
      const code = error instanceof ServiceBusError ? error.status : 500;
      const detail = error instanceof ServiceBusError ? error.message : 'The emulator failed; its log on stderr says why.';
      return { status: code, body: errorDocument(code, detail), type: 'application/xml;charset=utf-8' };
    });
    response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }).end(body);
  });
  server.timeout = IDLE_MS;
  return server;
}

/** @param {IncomingMessage} request @param {Broker} broker @param {string} startedAt @returns {Promise<Answer>} */
async function answer(request, broker, startedAt) {
  checkSender(request);
  const { host } = request.headers;
  const base = `http://${host}`;
  const { pathname, searchParams } = urlOf(request.url ?? '/', base);
  const path = decoded(pathname.slice(1));
  const deadLettersOf = (/** @type {import('../broker/entity.js').Entity} */ entity) =>
    broker.find(entity.queue.properties.name + DEAD_LETTER_SUFFIX);
  const describe = (/** @type {import('../broker/entity.js').Entity} */ entity) =>
    queueEntry(entity, base, deadLettersOf(entity));

  if (request.method === 'GET') {
    switch (path.toLowerCase()) {
      case '':
        return overview(broker);
      case '$resources/queues': {
        const skip = Number(searchParams.get('$skip') ?? 0) || 0;
        const top = Number(searchParams.get('$top') ?? 100) || 100;
        const entries = broker.entities.slice(skip, skip + top).map(describe);
        return { status: 200, body: feed('Queues', `${base}/$Resources/queues`, startedAt, entries) };
      }
      case '$resources/topics':
        return { status: 200, body: feed('Topics', `${base}/$Resources/topics`, startedAt, []) };
      case '$namespaceinfo':
        return { status: 200, body: namespaceEntry(NAMESPACE, base, startedAt) };
    }
  }
  if (path.startsWith('$') || /\/subscriptions(\/|$)/i.test(path)) {
    throw notImplemented('Only queues can be created, read, listed and deleted here.');
  }
  switch (request.method) {
    case 'GET':
      return { status: 200, body: describe(queueNamed(broker, path)) };
    case 'PUT': {
      if (request.headers['if-match']) {
        throw notImplemented('Queues cannot be changed: delete the queue and create it again, or edit the topology file.');
      }
      await broker.create(readQueue(path, await bodyOf(request)));
      return { status: 201, body: describe(queueNamed(broker, path)) };
    }
    case 'DELETE':
      await broker.delete(path);
      return { status: 200 };
    default:
      throw notImplemented(`The method ${request.method} is not supported.`);
  }
}

/** Web pages are kept out: no client of Service Bus names an origin. @param {IncomingMessage} request */
function checkSender({ headers, socket }) {
  const isLocal = /^(?:::ffff:)?127\.|^::1$/.test(socket.localAddress ?? '');
  if (headers.origin !== undefined || (isLocal && !LOOPBACK.test(headers.host ?? ''))) {
    throw new ServiceBusError('amqp:unauthorized-access', 'Requests of web pages and for other hosts are refused.', 403);
  }
}

/** @param {Broker} broker @returns {Answer} */
function overview(broker) {
  const queues = broker.entities.map((entity) => {
    const { name, ...properties } = entity.queue.properties;
    return { name, messages: counts(entity, broker.find(name + DEAD_LETTER_SUFFIX)), properties };
  });
  return { status: 200, type: 'application/json', body: `${JSON.stringify({ queues }, null, 2)}\n` };
}

/** @param {Broker} broker @param {string} name */
function queueNamed(broker, name) {
  const entity = broker.find(name);
  if (!entity?.queue.deadLetterQueue) throw notFound(`The messaging entity '${name}' could not be found.`);
  return entity;
}

/** @param {IncomingMessage} request @returns {Promise<string>} */
async function bodyOf(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) {
      throw new ServiceBusError('com.microsoft:argument-error', `A body may have ${MAX_BODY_BYTES} bytes.`, 413);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** @param {string} url @param {string} base */
function urlOf(url, base) {
  try {
    return new URL(url, base);
  } catch {
    throw argumentError('The address of the request cannot be read.');
  }
}

/** @param {string} path */
function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    throw argumentError('The address of the request cannot be read.');
  }
}

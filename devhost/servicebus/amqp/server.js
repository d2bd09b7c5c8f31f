// @ts-check
import { createServer } from 'node:net';
import { createAdministration } from '../admin/server.js';
import { ServiceBusError } from '../broker/errors.js';
import { resolve } from './address.js';
import { answerCbs } from './cbs.js';
import { Consumer } from './consumer.js';
import { answerManagement } from './management.js';
import { serveProducer, toAmqpError } from './producer.js';
import { RequestResponse } from './request_response.js';
import { acceptConnection, answerDetach, closeWithError, createContainer, wholeError } from './rhea.js';

/** @typedef {import('../broker/broker.js').Broker} Broker */

const GOODBYE_MS = 500;
/** How long a client may take from connecting to opening an AMQP connection. */
const HANDSHAKE_MS = 60_000;
const TLS_HANDSHAKE = 0x16;
/** First letters of HTTP's methods; AMQP begins with an A. */
const HTTP_METHOD = /^[CDGHOPT]/;

/** What the server keeps for each connection. */
class Client {
  requests = new RequestResponse();
  /** @type {Map<any, Consumer>} by rhea link */
  consumers = new Map();

  /** Lets go of one link. @param {any} link */
  release(link) {
    const consumer = this.consumers.get(link);
    this.consumers.delete(link);
    consumer?.closed();
  }

  /** Lets go of the links of an AMQP session, or of all. @param {any} [session] */
  releaseAll(session) {
    for (const link of this.consumers.keys()) if (!session || link.session === session) this.release(link);
  }
}

/**
 * Takes the port; clients that connect are left waiting until `serve`.
 * @param {{host: string, port: number}} address port 0 takes a free one
 * @returns {Promise<import('node:net').Server>}
 * @throws {NodeJS.ErrnoException} if it cannot listen there: `EADDRINUSE` for one
 */
export async function bind(address) {
  const server = createServer({ noDelay: true });
  await new Promise((resolved, rejected) => {
    server.once('error', rejected);
    server.listen(address, () => resolved(undefined));
  });
  return server;
}

/**
 * Serves a broker over AMQP 1.0 and, on the same port, its administration over HTTP.
 * @param {import('node:net').Server} server
 * @param {Broker} broker
 * @param {{debug: (text: string) => void, error: (text: string) => void}} log
 * @param {number} [handshakeMs] how long a client may take from connecting to opening an AMQP connection
 * @returns {() => Promise<void>} stops serving
 */
export function serve(server, broker, log, handshakeMs = HANDSHAKE_MS) {
  const container = createContainer();
  /** @type {Map<any, Client>} by rhea connection */
  const clients = new Map();
  const report = (/** @type {unknown} */ error) =>
    log.error(error instanceof Error ? (error.stack ?? error.message) : String(error));

  const clientOf = (/** @type {any} */ connection) => {
    let client = clients.get(connection);
    if (!client) clients.set(connection, (client = new Client()));
    return client;
  };
  const forget = (/** @type {any} */ { connection }) => {
    clients.get(connection)?.releaseAll();
    clients.delete(connection);
  };

  /** Runs `serve` for a new link; refuses the link when that throws. @param {any} link @param {() => void} serve */
  const guarded = (link, serve) => {
    try {
      serve();
    } catch (error) {
      if (!(error instanceof ServiceBusError)) report(error);
      closeWithError(link, toAmqpError(error));
    }
  };

  container.on('connection_open', (/** @type {any} */ { connection }) => clientOf(connection));
  container.on('sender_open', (/** @type {any} */ { sender: link, connection }) =>
    guarded(link, () => {
      const client = clientOf(connection);
      const { kind, entity } = resolve(link.source?.address, broker);
      if (kind !== 'entity' || !entity) return client.requests.attachReplies(link);
      log.debug(`receiver ${link.name} on ${link.source.address}`);
      client.consumers.set(link, new Consumer(link, entity, report));
    }),
  );

  container.on('receiver_open', (/** @type {any} */ { receiver: link, connection }) =>
    guarded(link, () => {
      const client = clientOf(connection);
      const { kind, entity } = resolve(link.target?.address, broker);
      if (kind === 'cbs' || !entity) return client.requests.attachRequests(link, answerCbs, report);
      if (kind === 'entity') return serveProducer(link, entity, report);
      const answer = (/** @type {import('./request_response.js').Request} */ request) =>
        answerManagement(request, { entity, consumers: client.consumers.values() }, report);
      client.requests.attachRequests(link, answer, report);
    }),
  );

  container.on('sender_close', (/** @type {any} */ { sender, connection }) => {
    clients.get(connection)?.release(sender);
    answerDetach(sender);
  });
  container.on('session_close', (/** @type {any} */ { session, connection }) =>
    clients.get(connection)?.releaseAll(session),
  );
  container.on('connection_close', forget);
  container.on('disconnected', (/** @type {any} */ { connection, error }) => {
    if (error) log.debug(`a connection failed: ${error.stack ?? error}`);
    forget({ connection });
  });
  for (const event of ['sender_error', 'receiver_error', 'session_error', 'connection_error']) {
    container.on(event, () => log.debug(`a client reported ${event}`));
  }

  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set();
  server.on('error', report);
  const administration = createAdministration(broker, report);
  let hasWarned = false;
  const warnOfTls = () => {
    if (hasWarned) return;
    hasWarned = true;
    log.error(
      'A client speaks TLS to the Service Bus emulator, which has none: connection strings need ' +
        'UseDevelopmentEmulator=true, and administration clients plain HTTP (see docs/service-bus-emulator.md).',
    );
  };
  const serveAmqp = (/** @type {import('node:net').Socket} */ socket) => {
    const connection = acceptConnection(container, socket);
    const timer = setTimeout(() => connection.is_open() || socket.destroy(), handshakeMs);
    socket.on('close', () => {
      clearTimeout(timer);
      forget({ connection });
    });
  };
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', (error) => log.debug(`a connection failed: ${error}`));
    const timer = setTimeout(() => socket.destroy(), handshakeMs);
    socket.on('close', () => clearTimeout(timer));
    socket.once('data', (bytes) => {
      clearTimeout(timer);
      if (bytes[0] === TLS_HANDSHAKE) warnOfTls();
      socket.pause();
      socket.unshift(bytes);
      if (HTTP_METHOD.test(bytes.toString('latin1', 0, 1))) administration.emit('connection', socket);
      else serveAmqp(socket);
      socket.resume();
    });
  });

  return async () => {
    const closed = new Promise((resolved) => server.close(resolved));
    administration.closeAllConnections();
    for (const connection of clients.keys()) {
      connection.close(
        wholeError({ condition: 'amqp:connection:forced', description: 'The emulator is shutting down.' }),
      );
    }
    const timer = setTimeout(() => sockets.forEach((socket) => socket.destroy()), GOODBYE_MS);
    await closed;
    clearTimeout(timer);
  };
}

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { it } from 'node:test';
import { bind, serve } from '../amqp/server.js';
import { Broker } from '../broker/broker.js';

it('a client that says nothing, or never comes to an open connection, is dropped', { timeout: 30_000 }, async () => {
  const broker = new Broker([], { append: () => {}, commit: async () => {} });
  const server = await bind({ host: '127.0.0.1', port: 0 });
  const errors = [];
  const log = { debug: () => {}, error: (text) => errors.push(text) };
  const stop = serve(server, broker, log, 50);
  for (const words of ['', 'A', 'AMQP\x00\x01\x00\x00', 'AMQP\x03\x01\x00\x00']) {
    const socket = connect(server.address().port, '127.0.0.1');
    if (words) socket.write(Buffer.from(words, 'latin1'));
    socket.resume();
    await once(socket, 'close');
  }
  await stop();
  assert.deepEqual(errors, []);
});

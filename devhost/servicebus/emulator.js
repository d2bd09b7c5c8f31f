// @ts-check
import { bind, serve } from './amqp/server.js';
import { Broker } from './broker/broker.js';
import { claimDirectory } from './data_directory.js';
import { Journal, readJournal } from './journal.js';

/**
 * @typedef {object} Log
 * @property {(text: string) => void} debug shown on request only
 * @property {(text: string) => void} error
 */

/**
 * Starts the emulator: restores what the data directory holds, then listens.
 * @param {object} options
 * @param {import('./broker/model.js').QueueProperties[]} options.topology
 * @param {string} options.dataDirectory
 * @param {string} options.host
 * @param {number} options.port 0 takes a free one
 * @param {Log} options.log
 * @param {(error: Error) => void} options.onFatal told once when the journal cannot be written any more
 * @returns {Promise<{port: number, close: () => Promise<void>}>}
 */
export async function startEmulator({ topology, dataDirectory, host, port, log, onFatal }) {
  // The port comes first: a second emulator that fails to get it must not have touched the data of the first.
  const server = await bind({ host, port });
  const release = claimDirectory(dataDirectory);
  const journal = new Journal(dataDirectory);
  const broker = new Broker(topology, {
    append: (record) => journal.append(record),
    commit: () =>
      journal.commit().catch((error) => {
        onFatal(error);
        throw error;
      }),
  });
  const { records, tornBytes } = readJournal(dataDirectory, (record) => broker.restore(record));
  log.debug(`restored ${records} journal records`);
  if (tornBytes > 0)
    log.error(`The journal ended in ${tornBytes} bytes of an unfinished record (a crash?); they are dropped.`);
  for (const { name, messages } of broker.unserved) {
    log.error(`Queue '${name}' has ${messages} stored message(s) but is not in the topology: kept, not served.`);
  }
  journal.open(() => broker.snapshot());
  broker.resume();
  const stop = serve(server, broker, log);
  return {
    port: /** @type {import('node:net').AddressInfo} */ (server.address()).port,
    async close() {
      await stop();
      broker.close();
      await journal.close();
      release();
    },
  };
}

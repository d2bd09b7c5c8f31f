#!/usr/bin/env node
// @ts-check
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { RestoreError } from './broker/broker.js';
import { DirectoryInUseError } from './data_directory.js';
import { startEmulator } from './emulator.js';
import { JournalError } from './journal.js';
import { readTopology, TopologyError } from './topology.js';

const USAGE = `Usage: node main.js [options]
  --port N         TCP port; 0 chooses a free one (default 5672)
  --host ADDRESS   address to listen on (default 127.0.0.1)
  --topology FILE  queues, in the format of the official emulator's config.json
                   (default: topology.json beside this file)
  --data DIR       where messages are kept (default .devhost/servicebus)
  --verbose        log to stderr`;

const USAGE_ERROR = 2;

/** @param {string} text @param {number} [exitCode] @returns {never} */
function fail(text, exitCode = USAGE_ERROR) {
  process.stderr.write(`${text}\n`);
  return process.exit(exitCode);
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: 'string', default: '5672' },
        host: { type: 'string', default: '127.0.0.1' },
        topology: { type: 'string', default: fileURLToPath(new URL('topology.json', import.meta.url)) },
        data: { type: 'string', default: '.devhost/servicebus' },
        verbose: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (!/^\d{1,5}$/.test(values.port) || Number(values.port) > 65_535) {
      throw new Error(`--port must be a number from 0 to 65535, not '${values.port}'.`);
    }
    return { ...values, port: Number(values.port) };
  } catch (error) {
    return fail(`${/** @type {Error} */ (error).message}\n${USAGE}`);
  }
}

/** @param {unknown} error @param {{port: number, host: string, data: string}} options @returns {string | undefined} */
function explain(error, { port, host, data }) {
  const explained = [TopologyError, JournalError, RestoreError, DirectoryInUseError];
  if (explained.some((kind) => error instanceof kind)) return /** @type {Error} */ (error).message;
  const { code, syscall, path, message } = /** @type {NodeJS.ErrnoException} */ (error);
  if (code === 'EADDRINUSE')
    return `Port ${port} on ${host} is in use: choose another with --port (0 takes a free one).`;
  if (syscall === 'listen' || syscall === 'getaddrinfo') {
    return `Cannot listen on port ${port} of ${host} (${message}): choose others with --port and --host.`;
  }
  if (path) return `The data directory '${data}' cannot be used (${message}): choose another with --data.`;
  return undefined;
}

const options = readOptions();
if (options.help) {
  process.stdout.write(`${USAGE}\n`);
  process.exit(0);
}

const log = {
  error: (/** @type {string} */ text) => void process.stderr.write(`${text}\n`),
  debug: (/** @type {string} */ text) => void (options.verbose && process.stderr.write(`${text}\n`)),
};
// rhea reports broken clients on the console, which nobody but a developer of this emulator needs to see.
console.error = console.warn = console.trace = (...parts) => log.debug(parts.join(' '));

try {
  const topology = readTopology(options.topology);
  const emulator = await startEmulator({
    topology,
    dataDirectory: options.data,
    host: options.host,
    port: options.port,
    log,
    onFatal: (error) => fail(`The journal in '${options.data}' cannot be written: ${error.message}.`, 1),
  });
  const stop = () => emulator.close().then(() => process.exit(0));
  process.once('SIGTERM', stop).once('SIGINT', stop);
  const queues = topology.map(({ name }) => name);
  process.stdout.write(`${JSON.stringify({ event: 'ready', host: options.host, port: emulator.port, queues })}\n`);
} catch (error) {
  fail(explain(error, options) ?? `${/** @type {Error} */ (error).stack}`, explain(error, options) ? USAGE_ERROR : 1);
}

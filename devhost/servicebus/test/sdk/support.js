// @ts-check
/** What the suites with the official JavaScript SDK share: the emulator as a process, and waiting for conditions. */
import { ServiceBusClient } from '@azure/service-bus';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../main.js', import.meta.url));
const DEADLINE_MS = 120_000;

/** For every test: far beyond what one takes on a busy machine, so that a hang ends with its name. */
export const LIMIT = { timeout: DEADLINE_MS };

/** An emulator process with a data directory of its own; it can be killed and started again on its port. */
export class Emulator {
  port = 0;
  stderr = '';
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #process;
  #directory = mkdtempSync(join(tmpdir(), 'servicebus-'));
  /** @type {ServiceBusClient[]} */
  #clients = [];

  /** @param {Record<string, object>} queues properties by name, as in the official emulator's config.json */
  constructor(queues) {
    const Queues = Object.entries(queues).map(([Name, Properties]) => ({ Name, Properties }));
    const topology = { UserConfig: { Namespaces: [{ Name: 'sbemulatorns', Queues, Topics: [] }] } };
    writeFileSync(join(this.#directory, 'topology.json'), JSON.stringify(topology));
  }

  get connectionString() {
    return `Endpoint=sb://127.0.0.1:${this.port};SharedAccessKeyName=x;SharedAccessKey=y;UseDevelopmentEmulator=true`;
  }

  async start() {
    const child = spawn(process.execPath, [
      MAIN,
      ...['--port', String(this.port), '--topology', join(this.#directory, 'topology.json')],
      ...['--data', join(this.#directory, 'data')],
    ]);
    this.#process = child;
    child.stderr.on('data', (text) => (this.stderr += text));
    for await (const line of createInterface({ input: child.stdout })) {
      this.port = JSON.parse(line).port;
      return this;
    }
    throw new Error(`The emulator did not start: ${this.stderr}`);
  }

  /** Ends the process as a power cut would. */
  async kill() {
    const child = /** @type {import('node:child_process').ChildProcess} */ (this.#process);
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }

  /** An SDK client that is closed with the emulator. @param {import('@azure/service-bus').ServiceBusClientOptions} [options] */
  client(options) {
    const client = new ServiceBusClient(this.connectionString, options);
    this.#clients.push(client);
    return client;
  }

  /** Ends everything; fails if the emulator complained. */
  async close() {
    for (const client of this.#clients) await client.close();
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
    assert.equal(this.stderr, '');
  }
}

/**
 * Receives exactly so many messages.
 * @param {import('@azure/service-bus').ServiceBusReceiver} receiver
 * @param {number} count
 */
export async function receive(receiver, count) {
  const messages = [];
  const deadline = Date.now() + DEADLINE_MS;
  while (messages.length < count && Date.now() < deadline) {
    messages.push(...(await receiver.receiveMessages(count - messages.length, { maxWaitTimeInMs: 5_000 })));
  }
  assert.equal(messages.length, count, 'all messages came');
  return messages;
}

/** @param {import('@azure/service-bus').ServiceBusReceiver} receiver */
export const receiveOne = async (receiver) => (await receive(receiver, 1))[0];

/**
 * Waits for a condition.
 * @template T
 * @param {() => T | Promise<T>} condition
 * @param {string} what
 * @returns {Promise<T>} its first value that is true
 */
export async function eventually(condition, what) {
  for (const deadline = Date.now() + DEADLINE_MS; Date.now() < deadline;) {
    const value = await condition();
    if (value) return value;
    await new Promise((resolved) => setTimeout(resolved, 20));
  }
  return assert.fail(`did not happen: ${what}`);
}

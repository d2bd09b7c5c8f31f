// @ts-check
import { closeSync, fdatasync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** @typedef {import('./broker/model.js').JournalRecord} JournalRecord */

const FORMAT = { format: 'servicebus-journal', version: 1 };
const NEWLINE = 0x0a;
const COMPACT_AFTER_BYTES = 16 * 1024 * 1024;
const SNAPSHOT_CHUNK_BYTES = 1024 * 1024;

/** What is wrong with the files in a data directory, in words for the person who started the emulator. */
export class JournalError extends Error {}

/**
 * Reads the journal of a data directory.
 * @param {string} directory created when missing
 * @param {(record: JournalRecord) => void} restore called for each record, oldest first
 * @returns {{records: number, tornBytes: number}} `tornBytes` counts the unfinished line that a crash left at the end
 * @throws {JournalError} if a record before the last line cannot be read or restored
 */
export function readJournal(directory, restore) {
  mkdirSync(directory, { recursive: true });
  const path = journalPath(directory);
  const bytes = readIfExists(path);
  let records = 0;
  let start = 0;
  for (let line = 1; start < bytes.length; line += 1) {
    const end = bytes.indexOf(NEWLINE, start);
    if (end === -1) break;
    const record = parse(bytes.toString('utf8', start, end));
    // Only the end of the file can be torn: everything before it was followed by a successful sync.
    if (record === undefined && end === bytes.length - 1) break;
    try {
      if (record === undefined) throw new Error('it is not JSON');
      if (line === 1) checkFormat(record);
      else {
        restore(record);
        records += 1;
      }
    } catch (error) {
      throw new JournalError(`${path}: line ${line} cannot be used: ${/** @type {Error} */ (error).message}.`);
    }
    start = end + 1;
  }
  return { records, tornBytes: bytes.length - start };
}

/**
 * An append-only file of JSON lines. Records that arrive while a sync is under way share the next one
 * (group commit). Now and then the file is replaced by a snapshot of what is still alive.
 */
export class Journal {
  /** @type {JournalRecord[]} */
  #pending = [];
  /** @type {Promise<void> | null} the sync that will cover everything appended so far */
  #next = null;
  /** @type {Promise<void>} the sync that is under way, or the last one */
  #current = Promise.resolve();
  #descriptor = -1;
  #sizeBytes = 0;
  #compactAtBytes = 0;
  #directory;
  /** @type {() => Iterable<JournalRecord>} */
  #snapshot = () => [];

  /** @param {string} directory */
  constructor(directory) {
    this.#directory = directory;
  }

  /**
   * Opens the file for writing, compacted. To be called once, after `readJournal`.
   * @param {() => Iterable<JournalRecord>} snapshot the shortest list of records that restores the present state
   */
  open(snapshot) {
    this.#snapshot = snapshot;
    this.#compact();
  }

  /** Takes a record; it is on disk when a later `commit` resolves. @param {JournalRecord} record */
  append(record) {
    this.#pending.push(record);
  }

  /** Resolves when everything appended so far is on disk; rejects with the file system's error. */
  commit() {
    if (this.#pending.length === 0) return this.#next ?? this.#current;
    if (!this.#next) {
      this.#next = this.#current.then(() => {
        this.#current = /** @type {Promise<void>} */ (this.#next);
        this.#next = null;
        return this.#flush();
      });
    }
    return this.#next;
  }

  async close() {
    await this.commit();
    this.#closeFile();
  }

  async #flush() {
    if (this.#sizeBytes > this.#compactAtBytes) return this.#compact();
    const lines = this.#pending.map(toLine).join('');
    this.#pending = [];
    // Writing only fills the page cache, which a detour through the thread pool would make slower.
    this.#sizeBytes += writeFully(this.#descriptor, lines);
    await datasync(this.#descriptor);
  }

  #closeFile() {
    if (this.#descriptor !== -1) closeSync(this.#descriptor);
    this.#descriptor = -1;
  }

  /**
   * Replaces the file by a snapshot, which contains the effect of every pending record too. It is written
   * in one go, so that no change can slip between the snapshot and the first record after it.
   */
  #compact() {
    const path = journalPath(this.#directory);
    const temporary = `${path}.new`;
    const descriptor = openSync(temporary, 'w');
    try {
      this.#sizeBytes = 0;
      let chunk = toLine(/** @type {any} */ (FORMAT));
      for (const record of this.#snapshot()) {
        chunk += toLine(record);
        if (chunk.length > SNAPSHOT_CHUNK_BYTES) {
          this.#sizeBytes += writeFully(descriptor, chunk);
          chunk = '';
        }
      }
      this.#sizeBytes += writeFully(descriptor, chunk);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    this.#pending = [];
    this.#compactAtBytes = 2 * this.#sizeBytes + COMPACT_AFTER_BYTES;
    renameSync(temporary, path);
    syncDirectory(this.#directory);
    this.#closeFile();
    this.#descriptor = openSync(path, 'a');
  }
}

const datasync = promisify(fdatasync);

/** @param {string} directory */
const journalPath = (directory) => join(directory, 'journal.jsonl');

/** @param {JournalRecord} record */
const toLine = (record) => `${JSON.stringify(record)}\n`;

/** @param {string} line */
function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** @param {any} record */
function checkFormat(record) {
  if (record.format !== FORMAT.format || record.version !== FORMAT.version) {
    throw new Error(`expected ${JSON.stringify(FORMAT)}; the file belongs to something else or to another version`);
  }
}

/** @param {string} path */
function readIfExists(path) {
  try {
    return readFileSync(path);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

/** @param {number} descriptor @param {string} text @returns {number} bytes written */
function writeFully(descriptor, text) {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written);
  return bytes.length;
}

/** Makes the rename itself durable, which Windows does not allow to ask for. @param {string} directory */
function syncDirectory(directory) {
  if (process.platform === 'win32') return;
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

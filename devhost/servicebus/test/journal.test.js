import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { claimDirectory, DirectoryInUseError } from '../data_directory.js';
import { Journal, JournalError, readJournal } from '../journal.js';

let directory;
let file;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'journal-'));
  file = join(directory, 'journal.jsonl');
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Reads all records back. */
function read() {
  const records = [];
  return { ...readJournal(directory, (record) => records.push(record)), records };
}

async function write(...records) {
  const journal = new Journal(directory);
  journal.open(() => []);
  records.forEach((record) => journal.append(record));
  await journal.close();
}

describe('the journal', () => {
  it('gives back what was committed, in order', async () => {
    await write({ op: 'a', q: 'q' }, { op: 'b', q: 'q' });
    assert.deepEqual(read(), {
      records: [
        { op: 'a', q: 'q' },
        { op: 'b', q: 'q' },
      ],
      tornBytes: 0,
    });
  });

  it('lets concurrent commits share a sync, and loses none of them', async () => {
    const journal = new Journal(directory);
    journal.open(() => []);
    const commits = [];
    for (let n = 0; n < 100; n += 1) {
      journal.append({ op: `${n}`, q: 'q' });
      commits.push(journal.commit());
      if (n % 10 === 0) await new Promise(setImmediate);
    }
    await Promise.all(commits);
    assert.equal(read().records.length, 100);
    await journal.close();
  });

  it('tolerates a torn last record and says how long it was', async () => {
    await write({ op: 'a', q: 'q' });
    appendFileSync(file, '{"op":"to');
    assert.deepEqual(read(), { records: [{ op: 'a', q: 'q' }], tornBytes: 9 });
  });

  it('refuses a damaged record before the last, naming the line', async () => {
    await write({ op: 'a', q: 'q' });
    appendFileSync(file, 'rubbish\n{"op":"b","q":"q"}\n');
    assert.throws(read, (error) => error instanceof JournalError && /line 3 /.test(error.message));
  });

  it('refuses a file that is something else', () => {
    writeFileSync(file, '{"hello":1}\n{"op":"b","q":"q"}\n');
    assert.throws(read, (error) => error instanceof JournalError && /line 1 /.test(error.message));
  });

  it('replaces itself by a snapshot when it has grown, which stands for what was pending too', async () => {
    const journal = new Journal(directory);
    journal.open(() => [{ op: 'all', q: 'q' }]);
    const filler = 'x'.repeat(1024 * 1024);
    for (let n = 0; n < 18; n += 1) {
      journal.append({ op: 'one', q: 'q', filler });
      await journal.commit();
    }
    assert.ok(statSync(file).size < 3 * 1024 * 1024);
    assert.deepEqual(read().records[0], { op: 'all', q: 'q' });
    await journal.close();
  });
});

describe('the claim on a data directory', () => {
  it('is refused while another process runs, and taken over from one that is gone', () => {
    writeFileSync(join(directory, 'emulator.pid'), `${process.ppid}\n`);
    assert.throws(() => claimDirectory(directory), DirectoryInUseError);
    writeFileSync(join(directory, 'emulator.pid'), '999999999\n');
    const release = claimDirectory(directory);
    assert.equal(readFileSync(join(directory, 'emulator.pid'), 'utf8'), `${process.pid}\n`);
    release();
  });
});

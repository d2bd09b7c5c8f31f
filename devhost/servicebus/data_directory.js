// @ts-check
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Another running emulator has the data directory. */
export class DirectoryInUseError extends Error {}

/**
 * Claims a data directory for this process, so that two emulators never write one journal.
 * @param {string} directory created when missing
 * @returns {() => void} gives the directory back; a claim that a crash left behind is recognised and taken over
 * @throws {DirectoryInUseError}
 */
export function claimDirectory(directory) {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'emulator.pid');
  const holder = readHolder(path);
  if (holder !== undefined && isRunning(holder)) {
    throw new DirectoryInUseError(
      `The data directory '${directory}' is in use by process ${holder}: stop that emulator, or choose another ` +
        `directory with --data. (If that process is something else, delete '${path}'.)`,
    );
  }
  writeFileSync(path, `${process.pid}\n`);
  return () => rmSync(path, { force: true });
}

/** @param {string} path @returns {number | undefined} process id */
function readHolder(path) {
  try {
    const pid = Number.parseInt(readFileSync(path, 'utf8'), 10);
    return Number.isNaN(pid) ? undefined : pid;
  } catch {
    return undefined;
  }
}

/** @param {number} pid */
function isRunning(pid) {
  // In a container every start may get the same process id.
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
  return !isZombie(pid);
}

/** A killed process answers signals until its parent has waited for it. @param {number} pid */
function isZombie(pid) {
  try {
    return /^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

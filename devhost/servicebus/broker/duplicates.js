// @ts-check
/** @typedef {{at: number, sequenceNumber: number}} Sighting when a message id was accepted, and as which message */

/** The message ids accepted within the duplicate detection window; a window of 0 means that detection is off. */
export class DuplicateHistory {
  /** @type {Map<string, Sighting>} oldest first, except after a restart */
  #seen = new Map();
  #windowMs;

  /** @param {number} windowMs */
  constructor(windowMs) {
    this.#windowMs = windowMs;
  }

  /**
   * Returns the sequence number under which this id was accepted within the window, or undefined.
   * @param {string} messageId
   * @param {number} now ms since the epoch
   */
  find(messageId, now) {
    const sighting = this.#seen.get(messageId);
    return sighting && sighting.at + this.#windowMs > now ? sighting.sequenceNumber : undefined;
  }

  /**
   * Remembers an accepted id and forgets the ids that have left the window.
   * @param {string} messageId
   * @param {Sighting} sighting
   */
  note(messageId, sighting) {
    if (this.#windowMs === 0) return;
    this.#seen.delete(messageId);
    this.#seen.set(messageId, sighting);
    for (const [id, { at }] of this.#seen) {
      if (at + this.#windowMs > sighting.at) break;
      this.#seen.delete(id);
    }
  }

  entries() {
    return this.#seen.entries();
  }
}

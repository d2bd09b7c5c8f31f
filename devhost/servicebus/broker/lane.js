// @ts-check
/** @typedef {import('./model.js').Message} Message */

const COMPACT_AFTER = 1024;

/** Messages that wait for a receiver, in sequence order; one that returns takes its old place again. */
export class Lane {
  /** @type {Message[]} */
  #messages = [];
  #head = 0;

  get size() {
    return this.#messages.length - this.#head;
  }

  /** @param {Message} message */
  add(message) {
    const at = this.#search(message.sequenceNumber);
    if (at === this.#messages.length) this.#messages.push(message);
    // The commonest return is to the front, where a taken message has left its slot.
    else if (at === this.#head && this.#head > 0) this.#messages[--this.#head] = message;
    else this.#messages.splice(at, 0, message);
  }

  /** Takes the message with the lowest sequence number, or returns undefined. */
  shift() {
    if (this.size === 0) return undefined;
    const message = this.#messages[this.#head];
    // @ts-expect-error the slot is dead until it is reused; the message must not be kept alive by it
    this.#messages[this.#head++] = undefined;
    if (this.size === 0 || (this.#head > COMPACT_AFTER && this.#head > this.size)) {
      this.#messages.splice(0, this.#head);
      this.#head = 0;
    }
    return message;
  }

  /** @param {Message} message */
  delete(message) {
    const at = this.#search(message.sequenceNumber);
    if (this.#messages[at] === message) this.#messages.splice(at, 1);
  }

  /** @param {number} sequenceNumber @returns {number} the first place whose message is not before it */
  #search(sequenceNumber) {
    let low = this.#head;
    let high = this.#messages.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#messages[middle].sequenceNumber < sequenceNumber) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

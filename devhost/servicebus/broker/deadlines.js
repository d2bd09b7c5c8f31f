// @ts-check
/**
 * @typedef {object} Timed anything that has one next moment at which something happens to it
 * @property {number} [deadline] ms since the epoch; set only by `Deadlines`
 * @property {number} [slot] position in the heap; set only by `Deadlines`
 */

/**
 * The next moments of many things, earliest first: a binary heap in which every item knows its place,
 * so that renewing or dropping a deadline leaves nothing stale behind (a TTL of days would).
 * @template {Timed} T
 */
export class Deadlines {
  /** @type {T[]} */
  #heap = [];

  /** The earliest deadline in ms since the epoch, or Infinity when there is none. */
  get next() {
    return this.#heap.length ? /** @type {number} */ (this.#heap[0].deadline) : Infinity;
  }

  /**
   * Gives `item` the deadline `at`, replacing its former one; Infinity means none.
   * @param {T} item
   * @param {number} at ms since the epoch
   */
  set(item, at) {
    this.clear(item);
    if (at === Infinity) return;
    item.deadline = at;
    item.slot = this.#heap.length;
    this.#heap.push(item);
    this.#rise(item.slot);
  }

  /** @param {T} item */
  clear(item) {
    const slot = item.slot;
    if (slot === undefined) return;
    item.slot = undefined;
    item.deadline = undefined;
    const last = /** @type {T} */ (this.#heap.pop());
    if (last === item) return;
    this.#put(last, slot);
    this.#rise(slot);
    this.#sink(/** @type {number} */ (last.slot));
  }

  /**
   * Takes out the earliest item that is due, or returns undefined.
   * @param {number} now ms since the epoch
   */
  takeDue(now) {
    if (this.next > now) return undefined;
    const item = this.#heap[0];
    this.clear(item);
    return item;
  }

  /** @param {T} item @param {number} slot */
  #put(item, slot) {
    this.#heap[slot] = item;
    item.slot = slot;
  }

  /** @param {number} slot */
  #at(slot) {
    return /** @type {number} */ (this.#heap[slot].deadline);
  }

  /** @param {number} slot */
  #rise(slot) {
    while (slot > 0) {
      const parent = (slot - 1) >> 1;
      if (this.#at(parent) <= this.#at(slot)) return;
      this.#swap(parent, slot);
      slot = parent;
    }
  }

  /** @param {number} slot */
  #sink(slot) {
    for (;;) {
      let least = slot;
      for (const child of [2 * slot + 1, 2 * slot + 2]) {
        if (child < this.#heap.length && this.#at(child) < this.#at(least)) least = child;
      }
      if (least === slot) return;
      this.#swap(least, slot);
      slot = least;
    }
  }

  /** @param {number} a @param {number} b */
  #swap(a, b) {
    const item = this.#heap[a];
    this.#put(this.#heap[b], a);
    this.#put(item, b);
  }
}

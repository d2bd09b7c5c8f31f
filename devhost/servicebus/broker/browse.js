// @ts-check
/**
 * Looking at what a queue holds, without locking or changing it.
 * @typedef {import('./store.js').MessageStore} MessageStore
 */

/**
 * Messages in any state, in sequence order.
 * @param {MessageStore} store
 * @param {number} fromSequenceNumber inclusive
 * @param {number} count at most
 * @param {string | null} sessionId null for all
 */
export function peek(store, fromSequenceNumber, count, sessionId) {
  return [...store.messages.values()]
    .filter((m) => m.sequenceNumber >= fromSequenceNumber && (sessionId === null || m.sessionId === sessionId))
    .sort((a, b) => a.sequenceNumber - b.sequenceNumber)
    .slice(0, count);
}

/**
 * Ids of the sessions that have active messages or a state, or of those whose state changed after a moment.
 * @param {MessageStore} store
 * @param {number} stateUpdatedAfter ms since the epoch, or Infinity for all
 * @returns {string[]} sorted, so that pages do not overlap
 */
export function sessionIds(store, stateUpdatedAfter) {
  const all = stateUpdatedAfter === Infinity;
  const ids = new Set();
  for (const [id, { updatedAt }] of store.sessionStates) if (all || updatedAt > stateUpdatedAfter) ids.add(id);
  if (all) for (const { state, sessionId } of store.messages.values()) if (state === 'active') ids.add(sessionId);
  return [...ids].sort();
}

// @ts-check
/**
 * Why the broker itself dead-letters a message, in the words of the service.
 * @typedef {import('./model.js').DeadLetter} DeadLetter
 */

/** @type {DeadLetter} */
export const timeToLiveExpired = {
  reason: 'TTLExpiredException',
  description: 'The message expired and was dead lettered.',
};

/** The last allowed delivery failed. @param {number} maxDeliveryCount @returns {DeadLetter} */
export const maxDeliveryCountExceeded = (maxDeliveryCount) => ({
  reason: 'MaxDeliveryCountExceeded',
  description: `Message could not be consumed after ${maxDeliveryCount} delivery attempts.`,
});

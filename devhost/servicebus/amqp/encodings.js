// @ts-check
/** .NET ticks (100 ns) between 0001-01-01 and 1970-01-01. */
const EPOCH_TICKS = 621_355_968_000_000_000n;

/**
 * A moment as .NET ticks, in the eight bytes of an AMQP long: too large for a JavaScript number.
 * @param {number} ms since the epoch
 * @returns {Buffer}
 */
export function ticks(ms) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(ms) * 10_000n + EPOCH_TICKS);
  return bytes;
}

/** @param {string} token canonical UUID text @returns {Buffer} 16 bytes in network order, as an AMQP uuid */
export const lockTokenToUuid = (token) => Buffer.from(token.replaceAll('-', ''), 'hex');

/**
 * A lock token as delivery tag: the 16 bytes of a .NET Guid, whose first three groups are little-endian.
 * @param {string} token canonical UUID text
 */
export function lockTokenToTag(token) {
  const bytes = lockTokenToUuid(token);
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

/** @param {Buffer} uuid 16 bytes in network order @returns {string} canonical UUID text */
export const uuidToLockToken = (uuid) => uuid.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

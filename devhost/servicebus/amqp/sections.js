// @ts-check
import { decodeError } from '../broker/errors.js';
import { types } from './rhea.js';

/** Descriptor codes of the sections of an AMQP message (AMQP 1.0, part 3.2). */
export const SECTION = {
  header: 0x70,
  deliveryAnnotations: 0x71,
  messageAnnotations: 0x72,
  properties: 0x73,
  applicationProperties: 0x74,
  data: 0x75,
  value: 0x77,
};

/**
 * @typedef {object} Section a part of an encoded message
 * @property {number} code
 * @property {number} start offset of the section
 * @property {number} valueStart offset of the value after the descriptor
 * @property {number} end offset after the section
 */

const SMALL_ULONG = 0x53;
const ULONG = 0x80;

/**
 * Finds the sections of an encoded message without decoding what is in them.
 * @param {Buffer} encoded
 * @returns {Section[]}
 * @throws {import('../broker/errors.js').ServiceBusError} `amqp:decode-error` if the bytes are not a message
 */
export function splitSections(encoded) {
  const sections = [];
  for (let start = 0; start < encoded.length;) {
    if (encoded[start] !== 0x00) throw decodeError('The message has a section without a descriptor.');
    const valueStart = skipValue(encoded, start + 1);
    const end = skipValue(encoded, valueStart);
    sections.push({ code: readDescriptor(encoded, start + 1), start, valueStart, end });
    start = end;
  }
  return sections;
}

/**
 * Decodes one section into rhea's typed values, which are written back exactly as they were read.
 * @param {Buffer} encoded
 * @param {Section | undefined} section
 * @returns {any[]} the fields of a list, or the keys and values of a map in turn
 */
export function readFields(encoded, section) {
  if (!section) return [];
  try {
    const { value } = new types.Reader(encoded.subarray(section.valueStart, section.end)).read();
    if (value !== null && value !== undefined && !Array.isArray(value)) throw new Error('a section is no list or map');
    return value ?? [];
  } catch (error) {
    throw decodeError(`The message cannot be decoded: ${/** @type {Error} */ (error).message}.`);
  }
}

/**
 * Encodes a map section from typed keys and values.
 * @param {number} code
 * @param {any[]} keysAndValues
 * @returns {Buffer}
 */
export function writeMap(code, keysAndValues) {
  return writeSection(code, types.Map32(keysAndValues));
}

/** @param {number} code @param {any[]} fields typed @returns {Buffer} */
export function writeList(code, fields) {
  return writeSection(code, types.List32(fields));
}

/** @param {number} code @param {any} value typed */
function writeSection(code, value) {
  const writer = new types.Writer();
  writer.write(types.described(types.wrap_ulong(code), value));
  return writer.toBuffer();
}

/** @param {Buffer} encoded @param {number} at */
function readDescriptor(encoded, at) {
  if (encoded[at] === SMALL_ULONG) return encoded[at + 1];
  if (encoded[at] === ULONG) return Number(encoded.readBigUInt64BE(at + 1));
  throw decodeError('The message has a section whose descriptor is not a number.');
}

const MAX_DEPTH = 16;

/**
 * @param {Buffer} encoded
 * @param {number} at offset of a constructor
 * @param {number} [depth] of descriptors in one another
 * @returns {number} offset after its value
 */
function skipValue(encoded, at, depth = 0) {
  if (at >= encoded.length) throw decodeError('The message ends in the middle of a section.');
  if (depth > MAX_DEPTH) throw decodeError(`The message has more than ${MAX_DEPTH} descriptors in one another.`);
  const constructor = encoded[at];
  if (constructor === 0x00) return skipValue(encoded, skipValue(encoded, at + 1, depth + 1), depth + 1);
  const end = at + 1 + widthOf(encoded, constructor, at + 1);
  if (end > encoded.length) throw decodeError('The message ends in the middle of a section.');
  return end;
}

const FIXED_WIDTHS = [0, 1, 2, 4, 8, 16];

/**
 * The high half of a constructor tells how wide its value is (AMQP 1.0, part 1.2).
 * @param {Buffer} encoded
 * @param {number} constructor
 * @param {number} at
 */
function widthOf(encoded, constructor, at) {
  const category = constructor >> 4;
  if (category >= 0x4 && category <= 0x9) return FIXED_WIDTHS[category - 0x4];
  if (category < 0xa) throw decodeError(`The message holds an unknown type, 0x${constructor.toString(16)}.`);
  const wide = category % 2 === 1;
  if (at + (wide ? 4 : 1) > encoded.length) return Infinity;
  return wide ? 4 + encoded.readUInt32BE(at) : 1 + encoded[at];
}

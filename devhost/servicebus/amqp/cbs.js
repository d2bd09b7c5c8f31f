// @ts-check
import { types } from './rhea.js';

/**
 * @typedef {import('./request_response.js').Request} Request
 * @typedef {import('./request_response.js').Response} Response
 */

/**
 * Answers a claims-based security request. Every token is accepted: on a development machine there is
 * nothing to protect.
 * @param {Request} request
 * @returns {Promise<Response>}
 */
export async function answerCbs({ properties: { operation } }) {
  const known = operation === 'put-token';
  return {
    properties: {
      'status-code': types.wrap_int(known ? 200 : 400),
      'status-description': known ? 'OK' : `The operation '${operation}' is not supported.`,
    },
    body: null,
  };
}

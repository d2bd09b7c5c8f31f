// @ts-check
/**
 * What no peer may do to the emulator, whatever it sends: take its memory, keep its processor busy, or end its process.
 * rhea trusts its peers in all of this.
 */

/** The largest frame that is taken, as announced when a connection opens. */
export const MAX_FRAME_SIZE = 65_536;
/** The smallest limit that AMQP lets a peer set (2.7.1); below it rhea would cut messages into pieces without end. */
const MIN_MAX_FRAME_SIZE = 512;
/** A peer that wants heartbeats more often than this gets no more of them. */
const MIN_IDLE_TIME_OUT_MS = 1_000;
/** Bytes that wait for a peer to read them, above which nothing more is read from it. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024;

/**
 * Guards a connection; to be called before it gets its socket.
 * @param {any} connection rhea connection
 * @param {import('node:net').Socket} socket
 * @param {number} maxMessageSize bytes of a message; of what is longer only the length is kept, as `link.messageSize`
 */
export function guard(connection, socket, maxMessageSize) {
  guardInput(connection, socket);
  guardOutput(connection, socket);
  guardOpen(connection);
  guardDispositions(connection);
  guardTransfers(connection, maxMessageSize);
  guardLinks(connection);
  guardEnds(connection);
}

/** @param {any} connection @param {import('node:net').Socket} socket */
function guardInput(connection, socket) {
  const input = connection.input;
  let refused = false;
  // rhea clears its timers only when the peer is the one who ends the connection.
  socket.on('close', () => {
    for (const timer of ['heartbeat_in', 'heartbeat_out', 'abort_idle']) clearTimeout(connection[timer]);
  });
  connection.input = (/** @type {Buffer} */ bytes) => {
    if (refused) return;
    input.call(connection, bytes);
    if (connection.frame_size > MAX_FRAME_SIZE) {
      refused = true;
      connection.chunks = null;
      refuse(
        connection,
        socket,
        'amqp:connection:framing-error',
        `A frame of ${connection.frame_size} bytes was announced; the limit is ${MAX_FRAME_SIZE}.`,
      );
    } else if (socket.writableLength > MAX_UNREAD_BYTES) {
      socket.pause();
      socket.once('drain', () => socket.resume());
    }
  };
}

/** rhea writes on a later tick, where an error would end the process. @param {any} connection @param {import('node:net').Socket} socket */
function guardOutput(connection, socket) {
  const process = connection._process;
  connection._process = () => {
    try {
      process.call(connection);
    } catch (error) {
      socket.destroy(/** @type {Error} */ (error));
    }
  };
}

/** @param {any} connection */
function guardOpen(connection) {
  const open = connection.on_open;
  connection.on_open = (/** @type {any} */ frame) => {
    const { max_frame_size: size, idle_time_out: idle } = frame.performative;
    if (size !== undefined && size !== null && !(size >= MIN_MAX_FRAME_SIZE)) {
      throw new Error(`max-frame-size is ${size}; AMQP allows no less than ${MIN_MAX_FRAME_SIZE}`);
    }
    if (idle > 0 && idle < MIN_IDLE_TIME_OUT_MS) frame.performative.idle_time_out = MIN_IDLE_TIME_OUT_MS;
    open.call(connection, frame);
  };
}

/** A disposition names a range of up to 2^32 deliveries, which rhea goes through one by one. @param {any} connection */
function guardDispositions(connection) {
  const disposition = connection.on_disposition;
  connection.on_disposition = (/** @type {any} */ frame) => {
    const session = connection.remote_channel_map[frame.channel];
    if (session) {
      const { performative } = frame;
      const { deliveries } = performative.role ? session.outgoing : session.incoming;
      const [head, tail] = [deliveries.get_head(), deliveries.get_tail()];
      const last = Math.min(performative.last || performative.first, tail?.id ?? -1);
      const first = Math.max(performative.first, head?.id ?? 0);
      if (!(first <= last)) return;
      Object.assign(performative, { first, last });
    }
    disposition.call(connection, frame);
  };
}

/** A message may come in any number of frames, which rhea collects. @param {any} connection @param {number} limit */
function guardTransfers(connection, limit) {
  const transfer = connection.on_transfer;
  connection.on_transfer = (/** @type {any} */ frame) => {
    const link = connection.remote_channel_map[frame.channel]?.remote.handles[frame.performative.handle];
    if (link) {
      const isFirst = !link._incomplete;
      const length = frame.payload?.length ?? 0;
      link.messageSize = (isFirst ? 0 : link.messageSize) + length;
      if (length === 0 || link.messageSize > limit) frame.payload = isFirst ? Buffer.alloc(0) : undefined;
    }
    transfer.call(connection, frame);
  };
}

let leavingLinks = 0;

/**
 * A peer may use the name and the handle of a link again as soon as it has detached it. rhea would bring the old link
 * back to life, and never forgets a handle.
 * @param {any} connection
 */
function guardLinks(connection) {
  const detach = connection.on_detach;
  connection.on_detach = (/** @type {any} */ frame) => {
    // The Python SDK ends a session and then detaches the links of it, for which rhea would drop the connection.
    const session = connection.remote_channel_map[frame.channel];
    if (!session) return;
    session.outgoing.process();
    const { handle } = frame.performative;
    const link = session.remote.handles[handle];
    detach.call(connection, frame);
    delete session.remote.handles[handle];
    delete session.links[link.name];
    // It stays among the links until rhea has answered the detach.
    const leaving = `${link.name} ${leavingLinks++}`;
    session.links[leaving] = link;
    link.remove = () => {
      delete session.local.handles[link.local.handle];
      delete session.links[leaving];
    };
  };
}

/**
 * What a peer has settled counts, also when the end of the session or connection follows in the same breath: rhea tells
 * of outcomes on a later tick, when the locks would be gone. The end of a link is treated so in `guardLinks`.
 * @param {any} connection
 */
function guardEnds(connection) {
  const { on_end: end, on_close: close } = connection;
  connection.on_end = (/** @type {any} */ frame) => {
    connection.remote_channel_map[frame.channel]?.outgoing.process();
    end.call(connection, frame);
  };
  connection.on_close = (/** @type {any} */ frame) => {
    for (const session of Object.values(connection.remote_channel_map)) session.outgoing.process();
    close.call(connection, frame);
  };
}

/**
 * Closes a connection with an error that the peer can read, if it has come so far, and stops listening to it.
 * @param {any} connection @param {import('node:net').Socket} socket @param {string} condition @param {string} description
 */
function refuse(connection, socket, condition, description) {
  connection.close({ condition, description, info: null });
  setImmediate(() => socket.destroySoon());
}

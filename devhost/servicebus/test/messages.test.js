import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeForReceiver, readBatch, readDraft, withApplicationProperties } from '../amqp/messages.js';
import { decodeMessage, encodeMessage, types } from '../amqp/rhea.js';
import { readFields, splitSections } from '../amqp/sections.js';
import { lockTokenToTag, lockTokenToUuid, ticks, uuidToLockToken } from '../amqp/encodings.js';

const UUID = '00112233-4455-6677-8899-aabbccddeeff';

const stored = (payload, overrides = {}) => ({
  sequenceNumber: 7,
  enqueuedAt: 1_000,
  ttlMs: 5_000,
  deliveryCount: 2,
  state: 'active',
  deadLetter: null,
  lock: null,
  payload,
  ...overrides,
});

describe('a message', () => {
  const sent = encodeMessage({
    ttl: 9_000,
    message_annotations: { 'x-opt-partition-key': 'p', 'x-opt-sequence-number': types.wrap_long(99) },
    message_id: 'm',
    group_id: 's',
    application_properties: { long: types.wrap_long(1), DeadLetterReason: 'theirs' },
    body: 'hello',
  });

  it('is read for its ids and its time to live', () => {
    const { messageId, sessionId, ttlMs, scheduledFor } = readDraft(sent);
    assert.deepEqual(
      { messageId, sessionId, ttlMs, scheduledFor },
      { messageId: 'm', sessionId: 's', ttlMs: 9_000, scheduledFor: null },
    );
  });

  it('is handed on with its own bytes, under the header and annotations of the broker', () => {
    const encoded = encodeForReceiver(stored(sent));
    const { ttl, delivery_count, message_annotations } = decodeMessage(encoded);
    assert.deepEqual({ ttl, delivery_count }, { ttl: 5_000, delivery_count: 2 });
    assert.equal(message_annotations['x-opt-sequence-number'], 7);
    assert.equal(message_annotations['x-opt-partition-key'], 'p');
    const bare = sent.subarray(splitSections(sent).find(({ code }) => code === 0x73).start);
    assert.ok(encoded.subarray(-bare.length).equals(bare));
  });

  it('says why it was dead-lettered, in place of what its sender said', () => {
    const encoded = encodeForReceiver(stored(sent, { deadLetter: { reason: 'ours', description: null } }));
    assert.deepEqual(decodeMessage(encoded).application_properties, { long: 1, DeadLetterReason: 'ours' });
  });

  it('is scheduled by its annotation, given as timestamp or long', () => {
    for (const at of [types.wrap_timestamp(123_456), types.wrap_long(123_456)]) {
      const encoded = encodeMessage({ message_annotations: { 'x-opt-scheduled-enqueue-time': at }, body: '' });
      assert.equal(readDraft(encoded).scheduledFor, 123_456);
    }
  });

  it('has an id of any AMQP type', () => {
    const idOf = (message_id) => readDraft(encodeMessage({ message_id, body: '' })).messageId;
    assert.equal(idOf(types.wrap_uuid(lockTokenToUuid(UUID))), 'Uuid:00112233445566778899aabbccddeeff');
    assert.notEqual(idOf(5), idOf('5'));
  });

  it('is given an id if its sender gave none, and is otherwise left as it was', () => {
    for (const message_id of [undefined, '']) {
      const sent = encodeMessage({ message_id, group_id: 's', application_properties: { a: 1 }, body: 'hello' });
      const [first, second] = [readDraft(sent), readDraft(sent)];
      assert.match(first.messageId, /^[0-9a-f]{32}$/);
      assert.notEqual(first.messageId, second.messageId);
      const { message_id: stored, group_id, application_properties, body } = decodeMessage(first.payload);
      assert.deepEqual(
        { stored, group_id, application_properties, body },
        { stored: first.messageId, group_id: 's', application_properties: { a: 1 }, body: 'hello' },
      );
    }
    assert.match(decodeMessage(readDraft(encodeMessage({ body: 'bare' })).payload).message_id, /^[0-9a-f]{32}$/);
  });

  it('takes application properties with their types, in place of those of the same name', () => {
    const changes = [types.wrap_symbol('long'), types.wrap_double(1), types.wrap_symbol('new'), types.wrap_long(2)];
    const result = withApplicationProperties(sent, changes);
    const { application_properties, message_id, body } = decodeMessage(result);
    assert.deepEqual(application_properties, { DeadLetterReason: 'theirs', long: 1, new: 2 });
    assert.deepEqual([message_id, body], ['m', 'hello']);
    const typed = readFields(result, splitSections(result).find(({ code }) => code === 0x74));
    assert.deepEqual(typed.map(({ type }) => type.name), ['Str8', 'Str8', 'Str8', 'Double', 'Str8', 'SmallLong']);
    const bare = encodeMessage({ body: 'bare' });
    assert.deepEqual(decodeMessage(withApplicationProperties(bare, changes)).application_properties, { long: 1, new: 2 });
    const list = [types.wrap_symbol('list'), types.wrap_list([])];
    assert.throws(() => withApplicationProperties(sent, list), { condition: 'com.microsoft:argument-error' });
  });

  it('is refused when it is cut or is not AMQP', () => {
    for (let length = 1; length < sent.length; length += 1) {
      try {
        readDraft(sent.subarray(0, length));
      } catch (error) {
        assert.equal(error.condition, 'amqp:decode-error');
      }
    }
    for (const bytes of [Buffer.from('GET / HTTP/1.1'), Buffer.alloc(40), Buffer.alloc(40, 0xff)]) {
      assert.throws(() => readDraft(bytes), { condition: 'amqp:decode-error' });
    }
  });
});

it('a batch is taken apart into its messages', () => {
  const inner = [encodeMessage({ body: 'a' }), encodeMessage({ body: 'b'.repeat(300) })];
  const section = (data) =>
    Buffer.concat([Buffer.from([0x00, 0x53, 0x75, 0xb0, 0, 0, data.length >> 8, data.length & 0xff]), data]);
  assert.deepEqual(readBatch(Buffer.concat(inner.map(section))), inner);
});

it('a lock token is a GUID in .NET byte order as a tag, and in network order as a uuid', () => {
  assert.equal(lockTokenToTag(UUID).toString('hex'), '33221100554477668899aabbccddeeff');
  assert.equal(uuidToLockToken(lockTokenToUuid(UUID)), UUID);
});

it('ticks count from the year 1', () => {
  assert.equal(ticks(0).readBigInt64BE(), 621_355_968_000_000_000n);
});

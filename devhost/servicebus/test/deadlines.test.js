import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Deadlines } from '../broker/deadlines.js';
import { Lane } from '../broker/lane.js';

/** Deterministic pseudo-random whole numbers below `limit`. */
function* numbers(limit, seed = 42) {
  for (let state = seed; ;) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    yield state % limit;
  }
}

it('deadlines come out in order, whatever was moved or dropped', () => {
  const deadlines = new Deadlines();
  const random = numbers(1_000);
  const items = Array.from({ length: 300 }, () => ({}));
  const expected = new Map();
  for (let step = 0; step < 3_000; step += 1) {
    const item = items[step % items.length];
    const at = random.next().value;
    if (at < 200) {
      deadlines.clear(item);
      expected.delete(item);
    } else {
      deadlines.set(item, at);
      expected.set(item, at);
    }
  }
  const taken = [];
  for (let item = deadlines.takeDue(1_000), last = 0; item; item = deadlines.takeDue(1_000)) {
    assert.ok(expected.get(item) >= last);
    last = expected.get(item);
    taken.push(item);
  }
  assert.equal(taken.length, expected.size);
  assert.equal(deadlines.next, Infinity);
});

it('nothing is due before its time', () => {
  const deadlines = new Deadlines();
  deadlines.set({}, 10);
  assert.equal(deadlines.takeDue(9), undefined);
  assert.ok(deadlines.takeDue(10));
});

it('a lane stays in sequence order through thousands of takes and returns', () => {
  const lane = new Lane();
  const random = numbers(3);
  let next = 1;
  const out = [];
  for (let step = 0; step < 10_000; step += 1) {
    const choice = random.next().value;
    if (choice === 0 || lane.size === 0) lane.add({ sequenceNumber: next++ });
    else if (choice === 1) out.push(lane.shift());
    else if (out.length) lane.add(out.splice(step % out.length, 1)[0]);
  }
  const rest = [];
  while (lane.size) rest.push(lane.shift().sequenceNumber);
  assert.deepEqual(
    rest,
    [...rest].sort((a, b) => a - b),
  );
  assert.equal(rest.length + out.length, next - 1);
});

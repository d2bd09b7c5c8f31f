import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { durationMs, parseTopology, readTopology, TopologyError } from '../topology.js';

const document = (...queues) => ({ UserConfig: { Namespaces: [{ Name: 'sbemulatorns', Queues: queues }] } });
const refuses = (topology, pattern) =>
  assert.throws(
    () => parseTopology(topology),
    (error) => error instanceof TopologyError && pattern.test(error.message),
  );

describe('durations', () => {
  for (const [text, ms] of [
    ['PT1M', 60_000],
    ['PT5S', 5_000],
    ['PT0.5S', 500],
    ['P14D', 1_209_600_000],
    ['P1DT2H3M4S', 93_784_000],
  ]) {
    it(`${text} is ${ms} ms`, () => assert.equal(durationMs(text), ms));
  }
  for (const text of ['', 'P', 'PT', '1M', 'P1M', 'PT1M1', 60, null]) {
    it(`${JSON.stringify(text)} is none`, () => assert.equal(durationMs(text), undefined));
  }
});

describe('a topology', () => {
  it('takes the defaults of the official emulator', () => {
    const [queue] = parseTopology(document({ Name: 'q' }));
    assert.deepEqual(queue, {
      name: 'q',
      requiresSession: false,
      lockDurationMs: 60_000,
      maxDeliveryCount: 10,
      defaultTtlMs: 3_600_000,
      duplicateWindowMs: 0,
      deadLetterOnExpiry: false,
    });
  });

  it('accepts the empty forwarding properties of the official sample', () => {
    parseTopology(document({ Name: 'q', Properties: { ForwardTo: '', ForwardDeadLetteredMessagesTo: '' } }));
  });

  it('names the queue and the property that are wrong', () => {
    refuses(document({ Name: 'q', Properties: { LockDuration: '1 minute' } }), /Queue 'q': LockDuration .*"1 minute"/);
    refuses(document({ Name: 'q', Properties: { LockDuration: 'PT6M' } }), /Queue 'q': LockDuration/);
    refuses(document({ Name: 'q', Properties: { MaxDeliveryCount: 0 } }), /Queue 'q': MaxDeliveryCount/);
    refuses(document({ Name: 'q', Properties: { RequiresSession: 'yes' } }), /Queue 'q': RequiresSession/);
  });

  it('refuses what it cannot honour', () => {
    refuses(document({ Name: 'q', Properties: { ForwardTo: 'other' } }), /Queue 'q': ForwardTo is not supported/);
    refuses(document({ Name: 'q', Properties: { AutoDeleteOnIdle: 'PT5M' } }), /Queue 'q': AutoDeleteOnIdle/);
    refuses({ UserConfig: { Namespaces: [{ Queues: [{ Name: 'q' }], Topics: [{ Name: 't' }] }] } }, /Topic 't'/);
    refuses(document({ Name: 'q' }, { Name: 'Q' }), /Queue 'Q': Name is used twice/);
    refuses(document(), /at least one queue/);
    refuses({}, /exactly one namespace/);
  });

  it('of this project is valid', () => {
    const [queue, priority, low] = readTopology(new URL('../topology.json', import.meta.url).pathname);
    assert.equal(queue.name, 'agent-runs');
    assert.equal(queue.requiresSession, true);
    assert.deepEqual(priority, { ...queue, name: 'agent-runs-priority' });
    assert.deepEqual(low, { ...queue, name: 'agent-runs-low' });
  });
});

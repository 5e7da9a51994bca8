import { expect, test } from 'vitest';
import { hashTagOf, shardOfKey } from '../../../../src/tiers/redis/keys.ts';
import { scripts } from '../../../../src/tiers/redis/scripts.ts';
import { claimsIn, ownersOf, slotOf } from '../../../../src/tiers/redis/slots.ts';

test('a slot is what Redis Cluster computes', () => {
  // Source: the specification of Redis Cluster, and CLUSTER KEYSLOT of a server.
  expect(slotOf('123456789')).toBe(0x31c3);
  expect([slotOf('foo'), slotOf('bar')]).toEqual([12_182, 5061]);
  expect(hashTagOf(7)).toBe('07');
  expect(shardOfKey('c:{12}:e:ns/key')).toBe(12);
});

const VIEW = [
  'a1 10.0.0.1:6379@16379,one.example master - 0 1 3 connected 0-5460 [77->-b2]',
  'b2 10.0.0.2:6379@16379 myself,master - 0 1 7 connected 5461-10922 16000',
  'c3 :6380@16380 master,fail - 0 1 2 connected 10923-15999',
  'd4 10.0.0.4:6379@16379 slave a1 0 1 3 connected',
  'e5 10.0.0.5:6379@16379 master,noaddr - 0 1 9 disconnected 1-2',
  'f6 :0@0 master,handshake - 0 0 0 connected',
].join('\n');
const ASKED = { host: 'asked', port: 1 };

test('masters are read with their slots; who is unknown, or a replica, claims nothing', () => {
  expect(claimsIn(VIEW, ASKED, false)).toMatchObject([
    { host: '10.0.0.1', port: 6379, epoch: 3, slots: [[0, 5460]] },
    {
      host: '10.0.0.2',
      port: 6379,
      slots: [
        [5461, 10_922],
        [16_000, 16_000],
      ],
    },
    { host: 'asked', port: 6380, slots: [[10_923, 15_999]] },
  ]);
  expect(claimsIn(VIEW, ASKED, true)[0]).toMatchObject({ host: 'one.example' });
});

test('G4: of two who claim a slot, the one with the higher epoch has it, whoever was asked first', () => {
  const old = claimsIn('a 1.1.1.1:1@2 myself,master - 0 0 3 connected 0-100', ASKED, false);
  const now = claimsIn('b 1.1.1.2:1@2 myself,master - 0 0 8 connected 0-100', ASKED, false);
  for (const views of [
    [old, now],
    [now, old],
  ]) {
    expect(ownersOf([5, 101], views)).toEqual([{ host: '1.1.1.2', port: 1 }, undefined]);
  }
});

test('in a Cluster nothing is published to all of it', () => {
  for (const { text, sharded } of Object.values(scripts)) {
    expect(sharded.text).not.toContain("'c:bus'");
    expect(sharded.text.replaceAll('SPUBLISH', '')).not.toContain('PUBLISH');
    expect(sharded.text === text).toBe(!text.includes('c:bus'));
  }
});

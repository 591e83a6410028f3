/** Whether a request that is told to step will stop once more: an editor keeps its thread then. */

import { expect, it } from 'vitest';
import { hasNext } from '../../daemon/adapter/threads';
import type { StopPoint } from '../../daemon/tables/stops';

function next(op: string, point: StopPoint, how: 'over' | 'out', left = '0'): boolean {
  const forgets = { node: '3', count: '1', left, idsLostBy: null, handleLostBy: null };
  return hasNext({ op, point, facts: { forgets } }, how);
}

it('ends with the reply', () => {
  expect(next('LOOKUP', 'request', 'over')).toBe(true);
  expect(next('LOOKUP', 'inserted', 'out')).toBe(true);
  expect(next('LOOKUP', 'reply', 'over')).toBe(false);
  // It forgets on its way, and answers afterwards.
  expect(next('UNLINK', 'keys_removed', 'over')).toBe(true);
});

it('ends with what a forget has removed, for it has no reply', () => {
  expect(next('FORGET', 'request', 'over')).toBe(true);
  expect(next('FORGET', 'counted', 'over', '1')).toBe(false);
  expect(next('FORGET', 'counted', 'over', '0')).toBe(true);
  expect(next('FORGET', 'counted', 'out', '0')).toBe(false);
  expect(next('FORGET', 'removed', 'over')).toBe(true);
  expect(next('FORGET', 'keys_removed', 'over')).toBe(false);
});

/**
 * A lookup step by step, with a debugger's points in between: the same calls and the same decisions
 * as in lookup.ts, where they are made in one go. Used only while somebody may want to stop.
 */

import {
  RECORD,
  RECORD_ELAPSED,
  RECORD_FD,
  RECORD_HANDLE_ERRNO,
  SLOT_FIRST,
  WANT_HANDLE,
} from '../../native/index';
import { NO_FD, NO_HANDLE } from '../tables/candidate';
import type { LookupOp } from '../tables/events';
import type { Nodeid } from '../tables/identity';
import { NO_NODEID } from '../tables/identity';
import type { Context } from './context';
import { begin, decide, failed, identify, withoutHandle } from './lookup';
import { describe, refer, reported } from './references';

/** Where the lookup's object comes from. */
export interface StepOrigin {
  /** For the native call: KEEP_PARENT. */
  readonly flags: number;
  /** SLOT_FIRST already holds an open descriptor of the parent, which is the request's own. */
  readonly parentIsOpen: boolean;
  /** The file that the request has just made, instead of whatever has the name by now; or -1. */
  readonly openFd: number;
}

export const BY_NAME: StepOrigin = { flags: 0, parentIsOpen: false, openFd: -1 };

/** As `lookUpName` of lookup.ts. */
export function lookUpByStep(
  context: Context,
  op: LookupOp,
  parent: Nodeid,
  nameAt: number,
  nameLength: number,
  origin: StepOrigin,
): number {
  const { gate, native, trace } = context;
  const { i32 } = context.memory;
  begin(context, op, parent, nameAt, nameLength, RECORD);
  trace.identified = false;
  trace.handleErrno = 0;
  trace.nodeid = NO_NODEID;
  trace.errno = 0;
  gate.lookup(trace);
  const refused = (errno: number): number => {
    i32[(RECORD + RECORD_ELAPSED) >> 2] = native.elapsed();
    return failed(context, op, parent, nameAt, nameLength, RECORD, errno);
  };

  const known = origin.parentIsOpen ? 0 : refer(context, SLOT_FIRST, parent);
  if (known < 0) return refused(-known);
  if (gate.at('parent') && !origin.parentIsOpen) {
    // It may have been forgotten meanwhile, and its descriptor closed.
    const still = describe(context, SLOT_FIRST, parent);
    if (still < 0) return refused(-still);
  }

  const fd = openObject(context, parent, nameAt, origin);
  if (fd < 0) return refused(-fd);
  gate.at('opened');

  const noStat = gate.fault('statx');
  const stat = noStat === 0 ? native.examine(fd, RECORD) : -noStat;
  if (stat < 0) {
    native.close(fd);
    return refused(-stat);
  }
  i32[(RECORD + RECORD_FD) >> 2] = fd;
  i32[(RECORD + RECORD_HANDLE_ERRNO) >> 2] = -1;
  trace.identified = true;
  identify(context, RECORD, trace);
  gate.at('identified');

  let errno = 0;
  if ((context.lookupFlags & WANT_HANDLE) !== 0) {
    const noHandle = gate.fault('name_to_handle_at');
    const made = noHandle === 0 ? native.nameHandle(fd, RECORD) : noHandle;
    i32[(RECORD + RECORD_HANDLE_ERRNO) >> 2] = made;
    trace.handleErrno = made;
    if (made === 0) {
      native.close(fd);
      i32[(RECORD + RECORD_FD) >> 2] = NO_FD;
    } else errno = withoutHandle(context, made);
    identify(context, RECORD, trace);
  }
  gate.at('handle');
  if (errno === 0) walk(context);

  trace.durationNs = native.elapsed();
  const nodeid = decide(context, RECORD, errno);
  if (nodeid > 0) gate.at(trace.inserted ? 'inserted' : 'claimed');
  return nodeid;
}

/** An O_PATH descriptor of what is looked up, or -errno. */
function openObject(
  context: Context,
  parent: Nodeid,
  nameAt: number,
  { flags, openFd }: StepOrigin,
): number {
  const { gate, native } = context;
  const refusal = gate.fault('openat');
  if (refusal !== 0) return -refusal;
  if (openFd >= 0) return native.reopenPath(openFd);
  const fd = native.openName(SLOT_FIRST, nameAt, flags);
  return reported(context, fd, SLOT_FIRST, parent);
}

/** Goes through the rule's decisions as long as the tables change while somebody looks at them. */
function walk(context: Context): void {
  const { gate, tables, trace } = context;
  const { asked } = tables;
  for (;;) {
    const answer = tables.explain(trace.candidate);
    const { byHandle, byIds, hit } = asked;
    if (!decisions(context)) return;
    const now = tables.explain(trace.candidate);
    const same =
      now === answer && asked.byHandle === byHandle && asked.byIds === byIds && asked.hit === hit;
    if (same) return;
    gate.again();
  }
}

/** @returns whether the request was held at one of them */
function decisions({ gate, tables, trace }: Context): boolean {
  const { asked, rule } = tables;
  const hasHandle = trace.candidate.handleLength !== NO_HANDLE;
  const accepted = asked.hit === 'fallback_hit' || asked.hit === 'handleless_hit';
  let held = false;
  if (hasHandle && rule.byHandle === 'first') {
    held = gate.at('by_handle');
    if (asked.hit === 'handle_hit') return held;
  }
  held = gate.at('by_ids') || held;
  if (asked.byIds !== NO_NODEID) held = gate.at('fallback', accepted) || held;
  if (!accepted && hasHandle && rule.byHandle === 'second') held = gate.at('by_handle') || held;
  return held;
}

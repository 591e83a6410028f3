/**
 * Turns: receiving and answering requests one after the other, also while one of them waits.
 *
 * A request that waits keeps its place on the stack of this thread; others are received and answered
 * above it. So they go on in the opposite order: the last one that began to wait first.
 */

import type { Addon } from '../../native/index';
import { REQUEST } from '../../native/index';
import type { DataChannel, RequestHandler } from '../fuse/dataChannel';

/** How a session receives and answers. */
export interface Session<Ended> {
  /** Waits for what comes next: the length of a request, or a number <= 0 for `other`. */
  receive(): number;
  /** Answers the request at hand with so many bytes, 0: with none. */
  answer(length: number): void;
  /** Both at once. */
  answerAndReceive(length: number): number;
  /**
   * Does what is to be done when no request came.
   *
   * @param alone whether no request waits
   * @returns why the session is over; `alone` when it must be asked again once nothing waits; or
   *   null: it goes on
   */
  other(received: number, alone: boolean): Ended | 'alone' | null;
  /** Called after each reception. */
  received?(): void;
}

/** A request that came while another waited, and that must not be handled before that is done. */
interface Postponed {
  readonly bytes: Uint8Array;
  readonly aside: number;
}

/** Serves until the session is over. @returns why */
export function serveTurns<Ended>(
  native: Pick<Addon, 'putAside' | 'takeUp'>,
  handler: RequestHandler,
  data: Pick<DataChannel, 'sendFile' | 'writeFile'>,
  session: Session<Ended>,
): Ended {
  const { u8 } = handler.memory;
  const state: {
    over: Ended | null;
    /** What went wrong above a request that waits; thrown once nothing waits. */
    failure: { readonly error: unknown } | null;
    postponed: Postponed | 'other' | null;
  } = { over: null, failure: null, postponed: null };
  let lastOther = 0;

  const channel: DataChannel = {
    ...data,
    serveOthers(until, keep) {
      if (state.over !== null || state.failure !== null || state.postponed !== null) return;
      const aside = native.putAside();
      if (aside < 0) return;
      const putBack = keep();
      try {
        turns(until);
      } catch (error) {
        state.failure = { error };
        handler.letGo();
      }
      putBack();
      native.takeUp(aside);
    },
  };

  /** What is still to be done once nothing waits: the length of a request, or what `receive` says. */
  const resume = (what: Postponed | 'other'): number => {
    state.postponed = null;
    if (what === 'other') return lastOther;
    u8.set(what.bytes, REQUEST);
    native.takeUp(what.aside);
    return what.bytes.length;
  };

  /** @param until null: until the session is over */
  function turns(until: (() => boolean) | null): void {
    const alone = until === null;
    let length = session.receive();
    for (;;) {
      session.received?.();
      if (length <= 0) {
        const said = session.other(length, alone);
        if (said === 'alone') {
          lastOther = length;
          state.postponed = 'other';
          handler.letGo();
          return;
        }
        if (said !== null) {
          state.over = said;
          return;
        }
        if (until?.() === true) return;
        length = session.receive();
        continue;
      }
      if (!alone && handler.standsAlone()) {
        const aside = native.putAside();
        state.postponed = { bytes: u8.slice(REQUEST, REQUEST + length), aside };
        handler.letGo();
        return;
      }
      const reply = handler.handle(length, channel);
      const { over, failure, postponed } = state;
      const goesOn = over === null && failure === null && postponed === null;
      if (goesOn && until?.() !== true) {
        length = session.answerAndReceive(reply);
        continue;
      }
      session.answer(reply);
      if (!alone || over !== null || failure !== null || postponed === null) return;
      length = resume(postponed);
    }
  }

  for (;;) {
    turns(null);
    if (state.failure !== null) throw state.failure.error;
    if (state.over !== null) return state.over;
  }
}

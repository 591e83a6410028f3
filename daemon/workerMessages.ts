/** What the daemon's two threads say to each other beside the event ring. */

import type { MessagePort } from 'node:worker_threads';
import type { DebugCommand, DebugReport } from './debug/spec';
import type { OpenFilesPage } from './tables/gate';
import type { PassthroughOptions } from './passthrough/options';
import type { ProbeAnswer } from './passthrough/probing';
import type { WorkingHandles } from './passthrough/workingHandles';
import type { HandleMode } from './protocol/json';
import type { Nodeid } from './tables/identity';
import type { LookupRuleName } from './tables/lookupRule';
import type { TablesImage } from './tables/inodeTables';

/** What the worker reads requests from. */
export type WorkerSource =
  | { readonly kind: 'mount'; readonly fuseFd: number }
  /** The worker closes the listening socket. */
  | { readonly kind: 'vhost-user'; readonly listenFd: number; readonly tag?: string };

/** `disconnected`: the virtual machine has closed its side. */
export type EndedWhy = 'unmounted' | 'stopped' | 'disconnected';

/** Given to the worker when it is made. */
export interface WorkerStart {
  readonly options: Omit<PassthroughOptions, 'lookupRule'>;
  readonly lookupRule: LookupRuleName;
  readonly source: WorkerSource;
  readonly controlFd: number;
  /** Null with --no-inspect: nothing is recorded then. */
  readonly ring: SharedArrayBuffer | null;
  /** 32-bit words, see CONTROL. */
  readonly control: SharedArrayBuffer;
  /** Where ToWorker comes from; null with --no-inspect. */
  readonly commands: MessagePort | null;
}

/** The words of `WorkerStart.control`. */
export const CONTROL = {
  /** 0 until the first request may be served. */
  go: 0,
  /** 1: the tables are wanted, because events were lost. */
  resync: 1,
  /** Descriptors held for the guest. */
  fdsUsed: 2,
  /** How often the guest got ENFILE because it holds all that it may have (mod 2^32). */
  fdsRefused: 3,
  words: 4,
} as const;

/** What a debugger or an observer wants. */
export type ToWorker =
  | DebugCommand
  // Answered with the same number:
  /** Tries what these entries hold. */
  | { readonly type: 'probe'; readonly question: number; readonly nodeids: readonly Nodeid[] }
  | {
      readonly type: 'openFiles';
      readonly question: number;
      readonly from: number;
      readonly count: number;
    };

export type FromWorker =
  /** All of its program is loaded: it waits for a HostView. */
  | { readonly type: 'loaded' }
  | {
      readonly type: 'ready';
      readonly effectiveHandles: HandleMode;
      readonly handlesRefused: WorkingHandles['refused'];
      readonly fdLimit: number;
    }
  /** Events were published while the main thread slept. */
  | { readonly type: 'events' }
  /** The tables, and how far the ring was written when they were copied. */
  | { readonly type: 'tables'; readonly image: TablesImage; readonly head: number }
  | {
      readonly type: 'log';
      readonly level: 'error' | 'warn' | 'info' | 'debug';
      readonly text: string;
    }
  | { readonly type: 'debug'; readonly report: DebugReport }
  /** The answer to `probe`. */
  | {
      readonly type: 'probed';
      readonly question: number;
      readonly answers: readonly ProbeAnswer[];
    }
  | { readonly type: 'openFiles'; readonly question: number; readonly page: OpenFilesPage }
  | { readonly type: 'ended'; readonly why: EndedWhy };

/** What the daemon's two threads say to each other beside the event ring. */

import type { MessagePort } from 'node:worker_threads';
import type { DebugCommand, DebugReport } from './debug/spec';
import type { OpenFilesPage } from './tables/gate';
import type { PassthroughOptions } from './passthrough/options';
import type { HandleMode } from './protocol/json';
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
  words: 3,
} as const;

/** What a debugger wants. */
export type ToWorker =
  | DebugCommand
  /** Answered with the same number. */
  | {
      readonly type: 'openFiles';
      readonly question: number;
      readonly from: number;
      readonly count: number;
    };

export type FromWorker =
  /** All of its program is loaded: it waits for a HostView. */
  | { readonly type: 'loaded' }
  | { readonly type: 'ready'; readonly effectiveHandles: HandleMode; readonly fdLimit: number }
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
  | { readonly type: 'openFiles'; readonly question: number; readonly page: OpenFilesPage }
  | { readonly type: 'ended'; readonly why: EndedWhy };

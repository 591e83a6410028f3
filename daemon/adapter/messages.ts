/** What the adapter says and takes beyond the Debug Adapter Protocol. Names begin with `virtiofsd/`. */

import * as v from 'valibot';
import { faultJson, faultStateJson } from '../protocol/debug';
import { stopPlace } from '../protocol/hostMessages';

/** Makes calls fail; answers like FAULTS_EVENT. What is left out of a fault's id is chosen. */
export const INJECT_REQUEST = 'virtiofsd/inject';
export const injectArguments = v.object({
  faults: v.array(v.omit(faultJson, ['id'])),
});
export type InjectArguments = v.InferOutput<typeof injectArguments>;

/** Takes faults back: those of these ids, or all. */
export const CLEAR_REQUEST = 'virtiofsd/clearFaults';
export const clearArguments = v.object({ ids: v.optional(v.array(v.number())) });

/** Which faults are active; also a request. */
export const FAULTS_EVENT = 'virtiofsd/faults';
export const faultsBody = v.object({ faults: v.array(faultStateJson) });
export type FaultsBody = v.InferOutput<typeof faultsBody>;

/** Where the newest stop is, for views that follow it; null when nothing is stopped (any more). */
export const AT_EVENT = 'virtiofsd/at';
export const atBody = v.object({ at: v.nullable(stopPlace) });
export type AtBody = v.InferOutput<typeof atBody>;

/** Which daemon the session debugs; sent once it is attached. */
export const TARGET_EVENT = 'virtiofsd/target';
export const targetBody = v.object({ pid: v.number() });

/**
 * What the extension host and the Key Map's webview say to each other. The host owns the
 * connection to the daemon; frames of the inspector protocol travel through it unchanged, because a
 * remote webview runs in the user's browser, where 127.0.0.1 is another machine.
 *
 * The webview begins with `ready`, after each load. The host answers with `state`; `open` promises
 * a connection on which nothing has been said yet, so the webview starts with `hello` and numbers
 * its requests from 1. A hidden webview receives nothing; it says `ready` when it is back.
 */

import * as v from 'valibot';
import { decimal } from './json';

/** Longest sentence that either side may show or log. */
const sentence = v.pipe(v.string(), v.maxLength(2_000));

/** Longest request of the page: a `map.watch` with 200 unfolded directories is under 8 KB. */
export const MAX_WEBVIEW_TEXT = 64 * 1024;

export const connectionState = v.picklist(['connecting', 'open', 'ended']);
export type ConnectionState = v.InferOutput<typeof connectionState>;

/** The entry that a stopped request is about, and the edge that its last step has looked at. */
export const stopPlace = v.object({
  nodeid: v.nullable(decimal),
  table: v.nullable(v.picklist(['inodes_by_ids', 'inodes_by_handle'])),
  /** Whether the entry at the edge's end is believed. */
  accepted: v.nullable(v.boolean()),
  sentence,
});
export type StopPlace = v.InferOutput<typeof stopPlace>;

export const hostToWebview = v.variant('k', [
  /** A text frame of the inspector protocol. */
  v.object({ k: v.literal('text'), text: v.string() }),
  /** A binary frame of the inspector protocol. */
  v.object({ k: v.literal('binary'), bytes: v.instance(Uint8Array) }),
  /** `message` says, for people, what is being waited for or why it ended. */
  v.object({ k: v.literal('state'), state: connectionState, message: sentence }),
  /** Scroll to this entry and select it; may come before `open`. */
  v.object({ k: v.literal('reveal'), nodeid: decimal }),
  /** A debugger has stopped a request, or (with `at` null) nothing is stopped any more. */
  v.object({ k: v.literal('stop'), at: v.nullable(stopPlace) }),
]);
export type HostToWebview = v.InferOutput<typeof hostToWebview>;

export const webviewToHost = v.variant('k', [
  /** The page is loaded, or the user asked to try again: send `state`. */
  v.object({ k: v.literal('ready') }),
  v.object({ k: v.literal('text'), text: v.pipe(v.string(), v.maxLength(MAX_WEBVIEW_TEXT)) }),
  /** Show the page of a hazard. */
  v.object({ k: v.literal('explain'), hazard: v.pipe(v.string(), v.regex(/^H[0-9]{1,3}$/)) }),
  /** For the log: refused by the content security policy, or failed in the page. */
  v.object({
    k: v.literal('report'),
    level: v.picklist(['info', 'warning', 'error']),
    message: sentence,
  }),
]);
export type WebviewToHost = v.InferOutput<typeof webviewToHost>;

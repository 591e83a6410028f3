/** The runtime file of a daemon (docs/protocol.md): where its inspector listens and the token to show. */

import * as v from 'valibot';

export const runtimeFile = v.object({
  protocol: v.number(),
  pid: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** Field 22 of /proc/PID/stat, in clock ticks since boot: notices a recycled pid. */
  startTime: v.string(),
  /** `ws://127.0.0.1:PORT/inspector` or `ws+unix:PATH:/inspector`. */
  url: v.string(),
  token: v.string(),
  kind: v.picklist(['serve', 'attach', 'replay']),
  implementation: v.string(),
  sharedDir: v.string(),
  transport: v.string(),
});
export type RuntimeFile = v.InferOutput<typeof runtimeFile>;

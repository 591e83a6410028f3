/** What stands in a launch.json, checked. */

import * as v from 'valibot';
import { handleMode } from '../protocol/json';
import { LOOKUP_RULE_NAMES } from '../tables/lookupRule';

const path = v.pipe(v.string(), v.minLength(1), v.maxLength(4096));
/** Seconds without a sign of life of the debugger, after which the daemon lets everything go on. */
const timeout = v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(600)), 30);

export const attachArguments = v.object({
  /** A variable that VS Code fills in is text. */
  pid: v.optional(
    v.union([
      v.pipe(v.number(), v.integer(), v.minValue(1)),
      v.pipe(v.string(), v.regex(/^[1-9][0-9]*$/), v.transform(Number)),
    ]),
  ),
  /** `ws://…` or `ws+unix:…`, with its token. */
  url: v.optional(v.string()),
  runtimeFile: v.optional(path),
  timeout,
  /** Stop at the next decision of any request. */
  stopOnEntry: v.optional(v.boolean(), false),
});
export type AttachArguments = v.InferOutput<typeof attachArguments>;

export const launchArguments = v.object({
  sharedDir: path,
  /** Where to mount it; else `socketPath`, else a place that whoever runs the adapter chooses. */
  mount: v.optional(path),
  /** Serve a virtual machine on this vhost-user socket instead of mounting. */
  socketPath: v.optional(path),
  inodeFileHandles: v.optional(handleMode, 'prefer'),
  cache: v.optional(v.picklist(['never', 'metadata', 'auto', 'always']), 'auto'),
  lookupRule: v.optional(v.picklist(LOOKUP_RULE_NAMES), 'handle-then-fd'),
  /** Further options of `serve`. */
  args: v.optional(v.array(v.string()), []),
  timeout,
  stopOnEntry: v.optional(v.boolean(), false),
});
export type LaunchArguments = v.InferOutput<typeof launchArguments>;

/** @throws Error that names what is wrong */
export function readAttach(given: unknown): AttachArguments {
  const wanted = read(attachArguments, given, 'attach');
  const named = [wanted.pid, wanted.url, wanted.runtimeFile].filter((way) => way !== undefined);
  if (named.length > 1) throw new Error('attach: give one of pid, url and runtimeFile.');
  return wanted;
}

/** @throws Error that names what is wrong */
export function readLaunch(given: unknown): LaunchArguments {
  const wanted = read(launchArguments, given, 'launch');
  if (wanted.mount !== undefined && wanted.socketPath !== undefined) {
    throw new Error('launch: give one of mount and socketPath.');
  }
  return wanted;
}

function read<T>(schema: v.GenericSchema<unknown, T>, given: unknown, request: string): T {
  const parsed = v.safeParse(schema, given ?? {});
  if (parsed.success) return parsed.output;
  const where = v.getDotPath(parsed.issues[0]) ?? 'its arguments';
  throw new Error(`${request}: ${where}: ${parsed.issues[0].message}.`);
}

/** The command line of `serve` for a launch. @param place options that say where to serve */
export function serveWords(wanted: LaunchArguments, place: readonly string[]): string[] {
  return [
    'serve',
    ...['--shared-dir', wanted.sharedDir],
    ...place,
    `--inode-file-handles=${wanted.inodeFileHandles}`,
    `--cache=${wanted.cache}`,
    `--lookup-rule=${wanted.lookupRule}`,
    ...wanted.args,
  ];
}

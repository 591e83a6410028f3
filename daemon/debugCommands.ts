/**
 * The debugger for scripts: `break` is the debugger as long as it runs; `step`, `continue` and
 * `inject`, started apart, join it.
 */

import * as fs from 'node:fs';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { hasNext } from './adapter/threads';
import { BREAKPOINT_HELP, FAULT_HELP, parseHits, stopText } from './debugText';
import type { Connection } from './inspector/connect';
import { connect, findTarget } from './inspector/connect';
import { readLeaseFile, removeLeaseFile, writeLeaseFile } from './inspector/leaseFile';
import type { InspectorClient } from './protocol/client';
import { InspectorError } from './protocol/client';
import type { BreakpointJson, FaultJson, StoppedJson } from './protocol/debug';
import { parseBreakpoint } from './protocol/breakpointText';
import { breakpointJson, faultJson } from './protocol/debug';
import { faultText, parseFault } from './protocol/faultText';
import type { CallOf, ResultOf } from './protocol/rpc';
import { RPC_ERRORS } from './protocol/rpc';
import * as v from 'valibot';

const TARGET = 'process id, ws:// URL with its token, or runtime file';
const STEPS = ['over', 'into', 'out'] as const;
type Step = (typeof STEPS)[number];

interface Wishes {
  readonly if?: string;
  readonly hits?: NonNullable<BreakpointJson['hits']>;
  readonly log?: string;
}

interface BreakOptions extends Wishes {
  readonly json?: true | undefined;
  readonly stops?: number | undefined;
  readonly timeout: number;
  readonly inject?: readonly string[] | undefined;
}

export function addDebugCommands(program: Command): void {
  program
    .command('break')
    .description('hold requests at breakpoints; runs as the debugger until it is interrupted')
    .argument('<spec...>', `[target] and what to stop at; target: ${TARGET}`)
    .option('--if <expression>', 'only when this holds, such as "nlink > 1"')
    .option('--hits <when>', 'nth:N, from:N or every:N', asOption(parseHits))
    .option('--log <text>', 'say this instead of stopping; {expression} is replaced')
    .option(
      '--inject <fault>',
      'make calls fail as well (may be repeated)',
      (spec: string, others: string[] | undefined) => [...(others ?? []), spec],
    )
    .option('--stops <n>', 'end when so many requests were stopped and let go', asOption(count))
    .option(
      '--timeout <seconds>',
      'let everything go when this program hangs so long',
      asOption(count),
      30,
    )
    .option('--json', 'stops as JSON lines')
    .addHelpText('after', BREAKPOINT_HELP)
    .addHelpText(
      'after',
      `
On its standard input it takes: step [over|into|out] [REQUEST], continue [REQUEST], pause,
eval EXPRESSION. The commands step, continue and inject do the same from elsewhere.
When it ends, everything goes on and nothing is armed any more.`,
    )
    .action((words: string[], options: BreakOptions) => {
      const { target, specs } = split(words);
      if (specs.length === 0) throw new InvalidArgumentError('Say what to stop at.');
      const breakpoints = specs.map((spec, i) => breakpointOf(spec, i + 1, options));
      const faults = (options.inject ?? []).map((spec, i) => faultOf(spec, i + 1));
      return debug(target, breakpoints, faults, { ...options, specs });
    });
  program
    .command('step')
    .description('let a stopped request go to its next decision, and say where it stops')
    .argument('[target]', TARGET)
    .argument('[how]', 'over (its next decision), into (of any request), out (its reply)')
    .option('--request <n>', 'which one; else the one stopped last', asOption(count))
    .option(
      '--wait <seconds>',
      'for the next stop; without one the status is 1',
      asOption(count),
      5,
    )
    .option('--json', 'the stop as JSON')
    .action((first: string | undefined, second: string | undefined, options: StepOptions) => {
      const [target, how] =
        second === undefined && isStep(first) ? [undefined, first] : [first, second];
      if (how !== undefined && !isStep(how)) {
        throw new InvalidArgumentError(`${how} is no step: over, into or out.`);
      }
      return step(target, how ?? 'over', options);
    });
  program
    .command('continue')
    .description('let stopped requests go on')
    .argument('[target]', TARGET)
    .option('--request <n>', 'which one; else all', asOption(count))
    .action((target: string | undefined, { request }: { request?: number }) =>
      joined(target, async ({ client }, { held }) => {
        if (held.length === 0) say('Nothing is stopped.');
        const { waiting } = await client.call('debug.continue', wanted(request));
        if (waiting.length > 0) {
          say(`Request ${waiting.join(', ')} goes on when those stopped after it have.`);
        }
      }),
    );
  program
    .command('inject')
    .description('make system calls of the daemon fail; without a debugger, runs as one')
    .argument('[spec...]', `[target] and what to make fail; target: ${TARGET}`)
    .option('--clear', 'take back all faults of the debugger that runs')
    .option(
      '--timeout <seconds>',
      'take them back when this program hangs so long',
      asOption(count),
      30,
    )
    .option('--json', 'what is active as JSON')
    .addHelpText('after', FAULT_HELP)
    .action((words: string[], options: InjectOptions) => {
      const { target, specs } = split(words);
      return inject(target, specs, options);
    });
}

interface StepOptions {
  readonly request?: number;
  readonly wait: number;
  readonly json?: true;
}

interface InjectOptions {
  readonly clear?: true;
  readonly timeout: number;
  readonly json?: true;
}

// --- arguments ----------------------------------------------------------------------------------

function asOption<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
    }
  };
}

function count(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new Error('Give a number from 1 on.');
  return Number(text);
}

function isStep(word: string | undefined): word is Step {
  return STEPS.some((known) => known === word);
}

/** A first word that names a daemon is the target. */
function split(words: readonly string[]): { target: string | undefined; specs: readonly string[] } {
  const [first, ...rest] = words;
  const names =
    first !== undefined &&
    (/^[0-9]+$/.test(first) ||
      /^ws(\+unix)?:/.test(first) ||
      (first.endsWith('.json') && fs.existsSync(first)));
  return names ? { target: first, specs: rest } : { target: undefined, specs: words };
}

function breakpointOf(
  spec: string,
  id: number,
  { if: condition, hits, log }: Wishes,
): BreakpointJson {
  return checked(breakpointJson, spec, {
    ...understood(() => parseBreakpoint(spec)),
    id,
    ...(condition === undefined ? {} : { condition }),
    ...(hits === undefined ? {} : { hits }),
    ...(log === undefined ? {} : { log }),
  });
}

function faultOf(spec: string, id: number): FaultJson {
  return checked(
    faultJson,
    spec,
    understood(() => parseFault(spec, id)),
  );
}

function understood<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

function checked<T>(schema: v.GenericSchema<unknown, T>, spec: string, value: unknown): T {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const where = v.getDotPath(parsed.issues[0]) ?? 'it';
  throw new InvalidArgumentError(`“${spec}”: ${where}: ${parsed.issues[0].message}`);
}

function wanted(request: number | undefined): { request?: number } {
  return request === undefined ? {} : { request };
}

// --- talking ------------------------------------------------------------------------------------

const CLIENT = 'virtiofsd-inspector command line';

function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function open(target: string | undefined): Promise<Connection & { pid: number }> {
  const connection = await connect(findTarget(target, say), CLIENT);
  const { target: daemon } = await connection.client.hello(CLIENT);
  return { ...connection, pid: daemon.pid };
}

/** Joins the debugger that runs: its state, or null when there is none. */
async function join(
  client: InspectorClient,
  pid: number,
): Promise<ResultOf<'debug.attach'> | null> {
  const lease = readLeaseFile(pid);
  if (lease === null) return null;
  try {
    return await client.call('debug.attach', { lease });
  } catch (error) {
    if (!(error instanceof InspectorError) || error.code !== RPC_ERRORS.notAttached) throw error;
    removeLeaseFile(pid);
    return null;
  }
}

/** Joins the debugger that runs. @throws Error when none does */
async function joined(
  target: string | undefined,
  use: (connection: Connection, state: ResultOf<'debug.attach'>) => Promise<void>,
): Promise<void> {
  const connection = await open(target);
  try {
    const state = await join(connection.client, connection.pid);
    if (state === null) {
      throw new Error(
        'No debugger of the command line runs for this daemon: begin with “virtiofsd-inspector break”.',
      );
    }
    await use(connection, state);
  } finally {
    connection.close();
  }
}

async function step(target: string | undefined, how: Step, options: StepOptions): Promise<void> {
  await joined(target, async ({ client }, { held }) => {
    const number = options.request;
    const from =
      number === undefined ? held.at(-1) : held.find(({ request }) => request === number);
    if (from === undefined) {
      throw new Error(
        number === undefined ? 'Nothing is stopped.' : `Request ${number} is not stopped.`,
      );
    }
    const { request } = from;
    if (how !== 'into' && !hasNext(from, how)) {
      await client.call('debug.step', { request, how });
      say(`Request ${request} has passed its last decision, and goes on.`);
      return;
    }
    let timer: NodeJS.Timeout | undefined;
    const next = new Promise<StoppedJson | null>((resolve) => {
      client.on('debug.stopped', resolve);
      timer = setTimeout(() => resolve(null), options.wait * 1_000);
    });
    await client.call('debug.step', { request, how });
    const stop = await next;
    clearTimeout(timer);
    if (stop === null) throw new Error(`Nothing stopped within ${options.wait} seconds.`);
    print(options.json === true ? JSON.stringify(stop) : stopText(stop));
  });
}

async function inject(
  target: string | undefined,
  specs: readonly string[],
  options: InjectOptions,
): Promise<void> {
  const connection = await open(target);
  const state = await join(connection.client, connection.pid);
  if (state === null) {
    connection.close();
    if (options.clear === true) throw new Error('No debugger runs, and so no fault is active.');
    if (specs.length === 0) throw new InvalidArgumentError('Say what to make fail.');
    const faults = specs.map((spec, i) => faultOf(spec, i + 1));
    return debug(target, [], faults, { ...options, inject: specs, specs: [] });
  }
  try {
    const { client } = connection;
    const { faults } = state;
    const kept =
      options.clear === true ? [] : faults.map(({ struck: _s, usedUp: _u, ...fault }) => fault);
    const first = Math.max(0, ...faults.map(({ id }) => id)) + 1;
    const added = specs.map((spec, i) => faultOf(spec, first + i));
    const answer = await client.call('debug.setFaults', { faults: [...kept, ...added] });
    refuse(answer.faults, (id) => specs[id - first] ?? '');
    const now = (await client.call('debug.inspect', {})).faults;
    if (options.json === true) print(JSON.stringify(now));
    else
      for (const fault of now)
        print(`${fault.id}  ${faultText(fault)}${fault.usedUp ? ' (used up)' : ''}`);
  } finally {
    connection.close();
  }
}

/** @throws InvalidArgumentError when the daemon has refused one */
function refuse(
  answers: readonly { id: number; armed: boolean; message: string | null }[],
  specOf: (id: number) => string,
): void {
  const refused = answers.find(({ armed }) => !armed);
  if (refused === undefined) return;
  throw new InvalidArgumentError(`“${specOf(refused.id)}”: ${refused.message ?? 'refused'}`);
}

/** Is the debugger until it is interrupted, its work is done, or the daemon has had enough. */
async function debug(
  target: string | undefined,
  breakpoints: readonly BreakpointJson[],
  faults: readonly FaultJson[],
  options: Pick<BreakOptions, 'json' | 'stops' | 'timeout' | 'inject'> & {
    /** What the breakpoints were in words. */
    readonly specs: readonly string[];
  },
): Promise<void> {
  const { client, pid, ended, close } = await open(target);
  const timeoutMs = options.timeout * 1_000;
  const { lease } = await client.call('debug.attach', { timeoutMs });
  const withdraw = writeLeaseFile(pid, lease);
  const heartbeat = setInterval(() => {
    // A connection that is gone ends the program by itself.
    client.call('debug.heartbeat', {}).catch(() => undefined);
  }, timeoutMs / 3);
  try {
    const over = new Promise<Error | null>((resolve) => {
      watch(client, options, resolve);
      process.once('SIGINT', () => resolve(null));
      process.once('SIGTERM', () => resolve(null));
      void ended.then((reason) => resolve(new Error(reason)));
    });
    if (faults.length > 0) {
      const answer = await client.call('debug.setFaults', { faults: [...faults] });
      refuse(answer.faults, (id) => options.inject?.[id - 1] ?? '');
    }
    const answer = await client.call('debug.setBreakpoints', { breakpoints: [...breakpoints] });
    refuse(answer.breakpoints, (id) => options.specs[id - 1] ?? '');
    say(`Armed: ${counted(breakpoints.length, 'breakpoint')}, ${counted(faults.length, 'fault')}.`);
    listen(client);
    const why = await over;
    if (why !== null) throw why;
    await client.call('debug.detach', {});
  } finally {
    clearInterval(heartbeat);
    withdraw();
    close();
    process.stdin.destroy();
  }
}

function counted(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

function watch(
  client: InspectorClient,
  { json, stops }: Pick<BreakOptions, 'json' | 'stops'>,
  over: (why: Error | null) => void,
): void {
  const stopped = new Set<number>();
  const held = new Map<number, StoppedJson>();
  client.on('debug.stopped', (stop) => {
    stopped.add(stop.request);
    held.set(stop.request, stop);
    print(json === true ? JSON.stringify(stop) : stopText(stop));
  });
  client.on('debug.resumed', ({ request, reason }) => {
    const stop = held.get(request);
    held.delete(request);
    // One that steps to a further decision is not let go.
    const goesOn = reason !== 'step' || stop === undefined || !hasNext(stop, 'over');
    if (goesOn && held.size === 0 && stopped.size >= (stops ?? Infinity)) over(null);
  });
  client.on('debug.output', ({ category, text }) => {
    if (category === 'log') print(json === true ? JSON.stringify({ log: text }) : text);
    else say(text);
  });
  client.on('debug.ended', ({ message }) => over(new Error(message)));
}

/** Verbs from the standard input; its end means nothing, so that it can run in the background. */
function listen(client: InspectorClient): void {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    verb(client, line.trim().split(/\s+/)).catch((error: unknown) => {
      say(error instanceof Error ? error.message : String(error));
    });
  });
}

async function verb(client: InspectorClient, words: readonly string[]): Promise<void> {
  const [name, ...rest] = words;
  switch (name) {
    case '':
    case undefined:
      return;
    case 'step': {
      const how = rest.find(isStep) ?? 'over';
      await client.call('debug.step', { request: await requestOf(client, rest), how });
      return;
    }
    case 'continue': {
      const number = rest.find((word) => /^[0-9]+$/.test(word));
      const params: CallOf<'debug.continue'> = wanted(
        number === undefined ? undefined : Number(number),
      );
      await client.call('debug.continue', params);
      return;
    }
    case 'pause':
      await client.call('debug.pause', {});
      return;
    case 'eval': {
      const request = await requestOf(client, []);
      const { value } = await client.call('debug.evaluate', {
        request,
        expression: rest.join(' '),
      });
      print(value);
      return;
    }
    default:
      throw new Error(`There is no verb ${name}: step, continue, pause, eval.`);
  }
}

async function requestOf(client: InspectorClient, words: readonly string[]): Promise<number> {
  const named = words.find((word) => /^[0-9]+$/.test(word));
  if (named !== undefined) return Number(named);
  const { held } = await client.call('debug.inspect', {});
  const last = held.at(-1);
  if (last === undefined) throw new Error('Nothing is stopped.');
  return last.request;
}

/**
 * One debug session: the Debug Adapter Protocol towards a client, the inspector protocol towards a
 * daemon. Runs inside VS Code's extension host, or on stdio for any other client.
 */

import { Event, Response } from '@vscode/debugadapter';
import { ProtocolServer } from '@vscode/debugadapter/lib/protocol';
import type { DebugProtocol } from '@vscode/debugprotocol';
import * as v from 'valibot';
import type { InspectorClient } from '../protocol/client';
import type { StoppedJson } from '../protocol/debug';
import type { NotificationOf } from '../protocol/rpc';
import type { Kind, Wish } from './breakpointBook';
import { BreakpointBook } from './breakpointBook';
import type { Body, Commands, Handlers } from './commands';
import { CAPABILITIES } from './commands';
import { evaluate, offeredAfter, watchOf } from './evaluate';
import { Faults, faultCommand, withoutState } from './faults';
import type { AdapterHost, Connection } from './host';
import type { Beginning, Link } from './link';
import { begin, leave, readBeginning } from './link';
import type { AtBody, FaultsBody } from './messages';
import {
  AT_EVENT,
  CLEAR_REQUEST,
  FAULTS_EVENT,
  INJECT_REQUEST,
  TARGET_EVENT,
  clearArguments,
  injectArguments,
} from './messages';
import { ruleText } from './ruleText';
import { scopesOf } from './scopes';
import { RuleSource, threadOfFrame } from './stack';
import { exceptionOf, placeOf, stoppedBody } from './stops';
import { Threads, hasNext, threadOf } from './threads';
import { Unfolding } from './unfolding';
import { dataIdOf, dataWish, exceptionWish, functionWish, lineWish } from './wishes';

type Step = 'over' | 'into' | 'out';

/** A daemon while it is debugged, and its rule as the client knows it. */
interface Attached extends Link {
  readonly source: RuleSource;
}

const RULE_MIME_TYPE = 'text/x-virtiofsd-lookup';

export class DebugAdapter extends ProtocolServer {
  readonly #breakpoints = new BreakpointBook();
  readonly #threads = new Threads((reason, threadId) =>
    this.#event('thread', { reason, threadId }),
  );
  /** How each request was told to go on. */
  readonly #steps = new Map<number, Step>();
  readonly #faults = new Faults(() => this.#tellFaults());
  readonly #unfolding = new Unfolding();
  #beginning: Beginning | null = null;
  #link: Attached | null = null;
  /** The next stop is the one that `stopOnEntry` asked for. */
  #entering = false;
  #origin = { line: 1, column: 1 };

  /** @param over the session is over: nothing follows, and the daemon goes on or has ended */
  constructor(
    private readonly host: AdapterHost,
    private readonly over: () => void = () => undefined,
  ) {
    super();
  }

  /** Ends the session without a word to the client, which may be gone. */
  override dispose(): void {
    void this.end();
  }

  /** As if the client had disconnected. Resolves when a daemon that was launched has ended. */
  async end(): Promise<void> {
    await this.#leave(this.#hasLaunched);
  }

  // --- the protocol -------------------------------------------------------------------------------

  protected override dispatchRequest(request: DebugProtocol.Request): void {
    const response: DebugProtocol.Response = new Response(request);
    const { command } = request;
    void this.#answer(command, request.arguments).then(
      (body) => {
        if (body !== undefined) response.body = body;
        this.sendResponse(response);
        this.#afterwards(command);
      },
      (error: unknown) => {
        const format = error instanceof Error ? error.message : String(error);
        const quiet = command === 'evaluate' || command === 'completions';
        response.success = false;
        response.message = format;
        // Braces would be taken for variables.
        const message = { id: 1, format: '{_text}', variables: { _text: format } };
        response.body = { error: { ...message, showUser: !quiet } };
        this.sendResponse(response);
      },
    );
  }

  #answer(command: string, given: unknown): Promise<unknown> {
    return new Promise((resolve) => {
      if (!Object.hasOwn(this.#handlers, command)) {
        throw new Error(`This adapter does not know the request ${command}.`);
      }
      // Clients say what they want by the protocol's own types.
      const handler = this.#handlers[command as keyof Commands] as (given: unknown) => unknown;
      resolve(handler(given));
    });
  }

  /** What must not come before the answer. */
  #afterwards(command: string): void {
    if (command === 'attach' || command === 'launch') {
      this.#event('initialized');
      this.#tellFaults();
    } else if (command === 'disconnect') this.over();
  }

  #event(event: string, body?: unknown): void {
    this.sendEvent(new Event(event, body));
  }

  #say(category: 'console' | 'important' | 'stdout', text: string, more: object = {}): void {
    this.#event('output', { category, output: `${text}\n`, ...more });
  }

  readonly #handlers: Handlers = {
    initialize: ({ linesStartAt1, columnsStartAt1 }) => {
      const first = (startsAt1: boolean | undefined) => (startsAt1 === false ? 0 : 1);
      this.#origin = { line: first(linesStartAt1), column: first(columnsStartAt1) };
      return CAPABILITIES;
    },
    attach: (given) => this.#begin(readBeginning('attach', given)),
    launch: (given) => this.#begin(readBeginning('launch', given)),
    configurationDone: () => this.#enter(),
    restart: (given) => this.#restart(given?.arguments),
    disconnect: async (given) => {
      await this.#leave(given?.terminateDebuggee ?? this.#hasLaunched);
    },
    terminate: async () => {
      await this.#leave(this.#hasLaunched);
      this.#event('terminated');
    },
    setBreakpoints: ({ source, breakpoints = [] }) => {
      const refused = this.#attached.source.refusalOf(source);
      return this.#arm(
        `source:${source.path ?? source.name ?? ''}`,
        breakpoints.map((one) => lineWish(one, this.#attached.source, refused)),
      );
    },
    setFunctionBreakpoints: ({ breakpoints }) =>
      this.#arm('function', breakpoints.map(functionWish)),
    setDataBreakpoints: ({ breakpoints }) => this.#arm('data', breakpoints.map(dataWish)),
    setExceptionBreakpoints: ({ filters, filterOptions = [] }) => {
      const plain = filters.map((filterId) => ({ filterId }));
      return this.#arm('exception', [...plain, ...filterOptions].map(exceptionWish));
    },
    dataBreakpointInfo: ({ variablesReference = 0, name, frameId }) => {
      const shown = this.#unfolding.watched(variablesReference, name);
      const watch = shown?.watch ?? watchOf(this.#stopOfFrame(frameId), name.trim());
      if (watch === null) {
        const description = `${name} has no owner that could change: take a key of a table, or an entry.`;
        return { dataId: null, description };
      }
      const what =
        watch.entry === undefined
          ? `${watch.key?.table ?? ''} ${shown?.value ?? name}`
          : `node ${watch.entry}`;
      return { dataId: dataIdOf(watch), description: what, accessTypes: ['write'] };
    },
    breakpointLocations: ({ source, line, endLine = line }) => {
      const { source: rule } = this.#attached;
      const lines = rule.refusalOf(source) === null ? rule.stopsBetween(line, endLine) : [];
      return { breakpoints: lines.map((stop) => ({ line: stop })) };
    },
    exceptionInfo: ({ threadId }) => {
      const stop = this.#stopOf(threadId);
      return exceptionOf(stop, this.#breakpoints.findAll(stop.breakpoints));
    },
    threads: () => ({ threads: [...this.#threads.list] }),
    stackTrace: ({ threadId, startFrame = 0, levels = 0 }) => {
      const frames = this.#attached.source.stackOf(this.#stopOf(threadId));
      const end = levels === 0 ? frames.length : startFrame + levels;
      return { stackFrames: frames.slice(startFrame, end), totalFrames: frames.length };
    },
    scopes: async ({ frameId }) => {
      const scopes = await scopesOf(this.#client, this.#stopOf(threadOfFrame(frameId)));
      return {
        scopes: scopes.map(({ name, children, expensive }) =>
          this.#unfolding.scope(name, children, expensive),
        ),
      };
    },
    variables: async (given) => ({ variables: await this.#unfolding.variables(given) }),
    evaluate: async ({ expression, frameId, context }) => {
      const asked = expression.trim();
      const said =
        context === 'repl' ? await faultCommand(() => this.#client, this.#faults, asked) : null;
      if (said !== null) return { result: said, variablesReference: 0 };
      const shown = await evaluate(this.#client, this.#stopOfFrame(frameId), asked);
      const { name, value, ...rest } = this.#unfolding.variable(0, shown);
      return { ...rest, result: value, type: name };
    },
    completions: ({ text, column }) => {
      const typed = text.slice(0, column - this.#origin.column);
      const { words, replaced } = offeredAfter(typed);
      const start = typed.length - replaced;
      return { targets: words.map((label) => ({ label, start, length: replaced })) };
    },
    source: () => ({ content: this.#attached.source.rule.text, mimeType: RULE_MIME_TYPE }),
    loadedSources: () => ({ sources: [this.#attached.source.source] }),
    continue: async ({ threadId }) => {
      const stop = this.#threads.stopOf(threadId);
      if (stop === null) await this.#client.call('debug.continue', {});
      else {
        this.#steps.delete(stop.request);
        const { waiting } = await this.#client.call('debug.continue', { request: stop.request });
        this.#tellWaiting(waiting);
      }
      return { allThreadsContinued: false };
    },
    next: ({ threadId }) => this.#step(threadId, 'over'),
    stepIn: ({ threadId }) => this.#step(threadId, 'into'),
    stepOut: ({ threadId }) => this.#step(threadId, 'out'),
    pause: async () => {
      await this.#client.call('debug.pause', {});
    },
    [INJECT_REQUEST]: async (given) => {
      await this.#faults.add(this.#client, v.parse(injectArguments, given).faults);
      return this.#faultsBody;
    },
    [CLEAR_REQUEST]: async (given) => {
      await this.#faults.takeBack(this.#client, v.parse(clearArguments, given ?? {}).ids);
      return this.#faultsBody;
    },
    [FAULTS_EVENT]: () => this.#faultsBody,
  };

  // --- beginning and end --------------------------------------------------------------------------

  get #attached(): Attached {
    if (this.#link === null) throw new Error('No daemon is debugged (any more).');
    return this.#link;
  }

  get #client(): InspectorClient {
    return this.#attached.connection.client;
  }

  get #hasLaunched(): boolean {
    return this.#beginning?.request === 'launch';
  }

  async #begin(beginning: Beginning): Promise<undefined> {
    if (this.#link !== null) throw new Error('A daemon is debugged already.');
    this.#beginning = beginning;
    const link = await begin(
      this.host,
      beginning,
      (client) => this.#listen(client),
      (line) => this.#say('stdout', line),
    );
    const { connection } = link;
    const { target } = connection;
    const rule = ruleText(target.lookupRule);
    this.#link = { ...link, source: new RuleSource(rule, this.host.hasRuleTexts, this.#origin) };
    void connection.ended.then((reason) => this.#lost(connection, reason));
    this.#event('process', {
      name: target.sharedDir,
      systemProcessId: target.pid,
      isLocalProcess: true,
      startMethod: beginning.request,
    });
    this.#event(TARGET_EVENT, { pid: target.pid });
    this.#say(
      'console',
      `Debugging ${target.implementation}, process ${target.pid}: ${target.sharedDir} on ${target.transport}, rule ${target.lookupRule}.`,
    );
    return undefined;
  }

  async #enter(): Promise<undefined> {
    if (this.#beginning?.wanted.stopOnEntry !== true) return undefined;
    this.#entering = true;
    await this.#client.call('debug.pause', {});
    return undefined;
  }

  /** @param anew what the client wants from now on, if it says so */
  async #restart(anew: unknown): Promise<undefined> {
    const before = this.#beginning;
    if (before === null) throw new Error('There is nothing to begin again.');
    const beginning = anew === undefined ? before : readBeginning(before.request, anew);
    const faults = this.#faults.list.map(withoutState);
    await this.#leave(this.#hasLaunched);
    await this.#begin(beginning);
    await this.#breakpoints.arm(this.#client);
    await this.#faults.arm(this.#client, faults);
    return this.#enter();
  }

  #listen(client: InspectorClient): void {
    client.on('debug.stopped', (stop) => this.#stopped(stop));
    client.on('debug.resumed', (resumed) => this.#resumed(resumed));
    client.on('debug.output', (output) => this.#output(output));
    client.on('debug.faults', ({ faults }) => {
      for (const sentence of this.#faults.struck(faults)) this.#say('console', sentence);
    });
    client.on('debug.ended', ({ message }) => {
      const link = this.#link;
      if (link?.connection.client === client) this.#lost(link.connection, message);
    });
  }

  /** The daemon or the debugging ended by itself. */
  #lost(connection: Connection, reason: string): void {
    const link = this.#link;
    if (link?.connection !== connection) return;
    this.#say('important', `${reason} Nothing is held or made to fail any more.`);
    this.#unlink(link);
    connection.close();
    void link.launched?.stop();
    this.#event('terminated');
  }

  /** @param ends the daemon as well */
  async #leave(ends: boolean): Promise<void> {
    const link = this.#link;
    if (link === null) return;
    this.#unlink(link);
    await leave(link, ends);
  }

  #unlink({ silence }: Link): void {
    silence();
    this.#link = null;
    this.#threads.clear();
    this.#steps.clear();
    this.#unfolding.clear();
    this.#tellAt();
    this.#faults.set([]);
  }

  // --- what the daemon says -----------------------------------------------------------------------

  #stopped(stop: StoppedJson): void {
    this.#steps.delete(stop.request);
    this.#threads.stopped(stop);
    const hit = this.#breakpoints.findAll(stop.breakpoints);
    this.#event('stopped', stoppedBody(stop, hit, this.#entering));
    this.#entering = false;
    if (stop.again) {
      this.#say(
        'console',
        'The tables have changed while it was held: its decisions are made again.',
      );
    }
    this.#tellAt();
  }

  #resumed({ request, reason }: NotificationOf<'debug.resumed'>): void {
    const stop = this.#threads.stopOf(threadOf(request));
    const how = this.#steps.get(request);
    const stopsAgain =
      reason === 'step' && how !== undefined && stop !== null && hasNext(stop, how);
    this.#threads.resumed(request, stopsAgain);
    if (!this.#threads.someStopped) this.#unfolding.clear();
    if (reason === 'limit' || reason === 'session' || reason === 'timeout') {
      const why = {
        limit: 'too many are held',
        session: 'the guest’s session ends',
        timeout: 'nothing was heard of the debugger',
      };
      this.#say('console', `Request ${request} goes on: ${why[reason]}.`);
    }
    if (!stopsAgain) this.#tellAt();
  }

  #output({ category, text, breakpoint }: NotificationOf<'debug.output'>): void {
    const kept = breakpoint === null ? undefined : this.#breakpoints.find(breakpoint);
    const place =
      kept?.source === undefined ? {} : { source: kept.source, line: kept.line, column: 1 };
    this.#say(category === 'log' ? 'console' : 'important', text, place);
  }

  // --- going on -----------------------------------------------------------------------------------

  async #arm(kind: Kind, wishes: readonly Wish[]): Promise<Body<'SetBreakpoints'>> {
    return { breakpoints: await this.#breakpoints.set(this.#client, kind, wishes) };
  }

  #stopOf(thread: number): StoppedJson {
    const stop = this.#threads.stopOf(thread);
    if (stop === null) throw new Error('This request is not stopped.');
    return stop;
  }

  /** The stop of a frame, or the newest. */
  #stopOfFrame(frame: number | undefined): StoppedJson | null {
    return this.#threads.stopOf(frame === undefined ? null : threadOfFrame(frame));
  }

  async #step(thread: number, how: Step): Promise<undefined> {
    const { request } = this.#stopOf(thread);
    this.#steps.set(request, how);
    const { waiting } = await this.#client.call('debug.step', { request, how });
    this.#tellWaiting(waiting);
    return undefined;
  }

  #tellWaiting(waiting: readonly number[]): void {
    if (waiting.length === 0) return;
    const which = waiting.join(', ');
    this.#say(
      'important',
      `Request ${which} goes on when those stopped after it have: the daemon has one thread.`,
    );
  }

  get #faultsBody(): FaultsBody {
    return { faults: [...this.#faults.list] };
  }

  #tellFaults(): void {
    this.#event(FAULTS_EVENT, this.#faultsBody);
  }

  /** Tells views where the newest stop is. */
  #tellAt(): void {
    const stop = this.#threads.stopOf(null);
    const at = stop === null ? null : placeOf(stop);
    this.#event(AT_EVENT, { at } satisfies AtBody);
  }
}

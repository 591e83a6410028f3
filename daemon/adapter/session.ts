/**
 * One debug session: the Debug Adapter Protocol towards a client, the inspector protocol towards a
 * daemon. Runs inside VS Code's extension host, or on stdio for any other client.
 */

import { Event, Response } from '@vscode/debugadapter';
import { ProtocolServer } from '@vscode/debugadapter/lib/protocol';
import type { DebugProtocol } from '@vscode/debugprotocol';
import * as v from 'valibot';
import type { InspectorClient } from '../protocol/client';
import type { FaultJson, FaultStateJson, StoppedJson } from '../protocol/debug';
import { tableKeyJson } from '../protocol/debug';
import { faultText, parseFault } from '../protocol/faultText';
import type { StopPlace } from '../protocol/hostMessages';
import { decimal } from '../protocol/json';
import type { Target } from '../protocol/json';
import type { NotificationOf } from '../protocol/rpc';
import type { AttachArguments, LaunchArguments } from './arguments';
import { readAttach, readLaunch } from './arguments';
import type { Kind, Wish } from './breakpointBook';
import { BreakpointBook, wish } from './breakpointBook';
import { EXCEPTION_FILTERS, dataIdOf, functionBreakpoint, refined } from './breakpoints';
import { OFFERED, evaluate, watchOf } from './evaluate';
import type { AdapterHost, Connection, Launched } from './host';
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
import type { RuleText } from './ruleText';
import { ruleOfPath, ruleText, ruleTextName, ruleTextUri } from './ruleText';
import type { Children, Shown } from './shown';
import { candidateShown, entriesOf, entryShown, requestShown, tableChildren } from './shown';
import { Threads, hasNext, threadOf } from './threads';
import { stopSentence } from './words';

type Step = 'over' | 'into' | 'out';

type Begun =
  | { readonly request: 'attach'; readonly wanted: AttachArguments }
  | { readonly request: 'launch'; readonly wanted: LaunchArguments };

/** A daemon while it is debugged. */
interface Link {
  readonly connection: Connection;
  readonly launched: Launched | null;
  readonly target: Target;
  readonly rule: RuleText;
  readonly heartbeat: NodeJS.Timeout;
}

/** The commands of the protocol that are answered, with what they take and give. */
interface Commands {
  initialize: [DebugProtocol.InitializeRequestArguments, DebugProtocol.Capabilities];
  attach: [unknown, undefined];
  launch: [unknown, undefined];
  restart: [DebugProtocol.RestartArguments | undefined, undefined];
  disconnect: [DebugProtocol.DisconnectArguments | undefined, undefined];
  terminate: [unknown, undefined];
  configurationDone: [unknown, undefined];
  setBreakpoints: [DebugProtocol.SetBreakpointsArguments, Body<'SetBreakpoints'>];
  setFunctionBreakpoints: [DebugProtocol.SetFunctionBreakpointsArguments, Body<'SetBreakpoints'>];
  setDataBreakpoints: [DebugProtocol.SetDataBreakpointsArguments, Body<'SetBreakpoints'>];
  setExceptionBreakpoints: [DebugProtocol.SetExceptionBreakpointsArguments, Body<'SetBreakpoints'>];
  dataBreakpointInfo: [DebugProtocol.DataBreakpointInfoArguments, Body<'DataBreakpointInfo'>];
  breakpointLocations: [DebugProtocol.BreakpointLocationsArguments, Body<'BreakpointLocations'>];
  exceptionInfo: [DebugProtocol.ExceptionInfoArguments, Body<'ExceptionInfo'>];
  threads: [unknown, Body<'Threads'>];
  stackTrace: [DebugProtocol.StackTraceArguments, Body<'StackTrace'>];
  scopes: [DebugProtocol.ScopesArguments, Body<'Scopes'>];
  variables: [DebugProtocol.VariablesArguments, Body<'Variables'>];
  evaluate: [DebugProtocol.EvaluateArguments, Body<'Evaluate'>];
  completions: [DebugProtocol.CompletionsArguments, Body<'Completions'>];
  source: [DebugProtocol.SourceArguments, Body<'Source'>];
  loadedSources: [unknown, Body<'LoadedSources'>];
  continue: [DebugProtocol.ContinueArguments, Body<'Continue'>];
  next: [DebugProtocol.NextArguments, undefined];
  stepIn: [DebugProtocol.StepInArguments, undefined];
  stepOut: [DebugProtocol.StepOutArguments, undefined];
  pause: [unknown, undefined];
  [INJECT_REQUEST]: [unknown, FaultsBody];
  [CLEAR_REQUEST]: [unknown, FaultsBody];
  [FAULTS_EVENT]: [unknown, FaultsBody];
}

interface Bodies {
  SetBreakpoints: DebugProtocol.SetBreakpointsResponse;
  DataBreakpointInfo: DebugProtocol.DataBreakpointInfoResponse;
  BreakpointLocations: DebugProtocol.BreakpointLocationsResponse;
  ExceptionInfo: DebugProtocol.ExceptionInfoResponse;
  Threads: DebugProtocol.ThreadsResponse;
  StackTrace: DebugProtocol.StackTraceResponse;
  Scopes: DebugProtocol.ScopesResponse;
  Variables: DebugProtocol.VariablesResponse;
  Evaluate: DebugProtocol.EvaluateResponse;
  Completions: DebugProtocol.CompletionsResponse;
  Source: DebugProtocol.SourceResponse;
  LoadedSources: DebugProtocol.LoadedSourcesResponse;
  Continue: DebugProtocol.ContinueResponse;
}
type Body<B extends keyof Bodies> = Bodies[B]['body'];

type Handlers = {
  readonly [C in keyof Commands]: (
    given: Commands[C][0],
  ) => Promise<Commands[C][1]> | Commands[C][1];
};

/** At most so many frames a stack; a frame's id is its request's number and its place in it. */
const FRAMES = 8;
/** By which clients ask for the rule's text that have no documents of it. */
const RULE_REFERENCE = 1;
const RULE_MIME_TYPE = 'text/x-virtiofsd-lookup';

const CAPABILITIES: DebugProtocol.Capabilities = {
  supportsConfigurationDoneRequest: true,
  supportsFunctionBreakpoints: true,
  supportsConditionalBreakpoints: true,
  supportsHitConditionalBreakpoints: true,
  supportsLogPoints: true,
  supportsDataBreakpoints: true,
  supportsBreakpointLocationsRequest: true,
  supportsExceptionInfoRequest: true,
  supportsExceptionFilterOptions: true,
  exceptionBreakpointFilters: EXCEPTION_FILTERS.map(({ filter, label, description }) => ({
    filter,
    label,
    description,
    default: false,
    supportsCondition: true,
    conditionDescription: 'An expression over the request, such as errno != "ENOENT"',
  })),
  supportsEvaluateForHovers: true,
  supportsCompletionsRequest: true,
  supportsLoadedSourcesRequest: true,
  supportsRestartRequest: true,
  supportsTerminateRequest: true,
  supportTerminateDebuggee: true,
  supportsSingleThreadExecutionRequests: true,
};

const dataId = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ key: v.optional(tableKeyJson), entry: v.optional(decimal) }),
);

export class DebugAdapter extends ProtocolServer {
  readonly #breakpoints = new BreakpointBook();
  readonly #threads = new Threads((reason, threadId) =>
    this.#event('thread', { reason, threadId }),
  );
  /** How each request was told to go on. */
  readonly #steps = new Map<number, Step>();
  #begun: Begun | null = null;
  #link: Link | null = null;
  #faults: readonly FaultStateJson[] = [];
  #nextFault = 1;
  /** The next stop is the one that `stopOnEntry` asked for. */
  #entering = false;
  /** What a client may unfold, by reference; references begin at 1. */
  #unfoldable: Children[] = [];
  /** What a data breakpoint on a variable would wait for, by reference and name. */
  readonly #watches = new Map<string, Shown>();
  #firstLine = 1;
  #firstColumn = 1;

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
    await this.#leave(this.#begun?.request === 'launch');
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
      this.#tellFaults(this.#faults);
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
      this.#firstLine = linesStartAt1 === false ? 0 : 1;
      this.#firstColumn = columnsStartAt1 === false ? 0 : 1;
      return CAPABILITIES;
    },
    attach: async (given) => {
      await this.#begin({ request: 'attach', wanted: readAttach(given) });
    },
    launch: async (given) => {
      await this.#begin({ request: 'launch', wanted: readLaunch(given) });
    },
    configurationDone: async () => {
      await this.#enter();
    },
    restart: async (given) => {
      const begun = this.#begun;
      if (begun === null) throw new Error('There is nothing to begin again.');
      const anew = given?.arguments;
      const faults = this.#faults;
      await this.#leave(begun.request === 'launch');
      await this.#begin(
        begun.request === 'launch'
          ? { request: 'launch', wanted: anew === undefined ? begun.wanted : readLaunch(anew) }
          : { request: 'attach', wanted: anew === undefined ? begun.wanted : readAttach(anew) },
      );
      await this.#breakpoints.arm(this.#client);
      await this.#setFaults(faults.map(asFault));
      await this.#enter();
    },
    disconnect: async (given) => {
      const launched = this.#begun?.request === 'launch';
      await this.#leave(given?.terminateDebuggee ?? launched);
    },
    terminate: async () => {
      await this.#leave(this.#begun?.request === 'launch');
      this.#event('terminated');
    },
    setBreakpoints: (given) => this.#setSourceBreakpoints(given),
    setFunctionBreakpoints: ({ breakpoints }) =>
      this.#set(
        'function',
        breakpoints.map((one) => ({
          wanted: wish(() => [refined(functionBreakpoint(one.name), one)]),
        })),
      ),
    setDataBreakpoints: ({ breakpoints }) =>
      this.#set(
        'data',
        breakpoints.map((one) => ({
          wanted: wish(() => {
            const { key, entry } = v.parse(dataId, one.dataId);
            const wanted = { ...(key && { key }), ...(entry && { entry }) };
            return [refined(wanted, one)];
          }),
        })),
      ),
    setExceptionBreakpoints: ({ filters, filterOptions = [] }) =>
      this.#set(
        'exception',
        [...filters.map((filterId) => ({ filterId })), ...filterOptions].map((one) =>
          exceptionWish(one),
        ),
      ),
    dataBreakpointInfo: ({ variablesReference = 0, name, frameId }) => {
      const shown = this.#watches.get(`${variablesReference} ${name}`);
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
      if (this.#refusalOf(source) !== null) return { breakpoints: [] };
      const [from, to] = [line, endLine].map((one) => one + 1 - this.#firstLine);
      const lines = this.#attached.rule.stops.filter(
        (stop) => stop.line >= (from ?? 0) && stop.line <= (to ?? 0),
      );
      return { breakpoints: lines.map((stop) => ({ line: this.#line(stop.line) })) };
    },
    exceptionInfo: ({ threadId }) => {
      const stop = this.#stopOf(threadId);
      const filter = this.#filterOf(stop);
      const [hazard] = stop.hazards;
      return {
        exceptionId: hazard?.id ?? stop.facts.errno ?? filter?.label ?? stop.reason,
        description: [
          stopSentence(stop),
          ...stop.hazards.map(({ id, name, advice }) => `${id} ${name}. ${advice}`),
        ].join('\n'),
        breakMode: 'always',
      };
    },
    threads: () => ({ threads: [...this.#threads.list] }),
    stackTrace: ({ threadId, startFrame = 0, levels = 0 }) => {
      const frames = this.#framesOf(this.#stopOf(threadId));
      const end = levels === 0 ? frames.length : startFrame + levels;
      return { stackFrames: frames.slice(startFrame, end), totalFrames: frames.length };
    },
    scopes: async ({ frameId }) => ({ scopes: await this.#scopesOf(this.#frameStop(frameId)) }),
    variables: async ({ variablesReference, filter, start = 0, count = 0 }) => {
      const children = this.#unfoldable[variablesReference - 1];
      if (children === undefined) return { variables: [] };
      const indexed = children.kind === 'indexed';
      if (filter !== undefined && (filter === 'indexed') !== indexed) return { variables: [] };
      const shown = indexed ? await children.load(start, count) : await children.load();
      return { variables: shown.map((one) => this.#variable(variablesReference, one)) };
    },
    evaluate: async ({ expression, frameId, context }) => {
      const asked = expression.trim();
      const said = context === 'repl' ? await this.#command(asked) : null;
      if (said !== null) return { result: said, variablesReference: 0 };
      const { name, value, ...rest } = this.#variable(
        0,
        await evaluate(this.#client, this.#stopOfFrame(frameId), asked),
      );
      return { ...rest, result: value, type: name };
    },
    completions: ({ text, column }) => {
      const typed = text.slice(0, column - this.#firstColumn);
      const word = /[A-Za-z_]*$/.exec(typed)?.[0] ?? '';
      const targets = OFFERED.filter((offer) => offer.startsWith(word)).map((label) => ({
        label,
        start: typed.length - word.length,
        length: word.length,
      }));
      return { targets };
    },
    source: () => ({ content: this.#attached.rule.text, mimeType: RULE_MIME_TYPE }),
    loadedSources: () => ({ sources: [this.#source()] }),
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
      const { faults } = v.parse(injectArguments, given);
      const kept = this.#faults.filter(({ usedUp }) => !usedUp).map(asFault);
      const added = faults.map((fault) => ({ ...fault, id: this.#nextFault++ }));
      await this.#setFaults([...kept, ...added]);
      return { faults: [...this.#faults] };
    },
    [CLEAR_REQUEST]: async (given) => {
      const { ids } = v.parse(clearArguments, given ?? {});
      const kept = this.#faults.filter(
        ({ id, usedUp }) => !usedUp && ids !== undefined && !ids.includes(id),
      );
      await this.#setFaults(kept.map(asFault));
      return { faults: [...this.#faults] };
    },
    [FAULTS_EVENT]: () => ({ faults: [...this.#faults] }),
  };

  // --- beginning and end --------------------------------------------------------------------------

  get #attached(): Link {
    if (this.#link === null) throw new Error('No daemon is debugged (any more).');
    return this.#link;
  }

  get #client(): InspectorClient {
    return this.#attached.connection.client;
  }

  async #begin(begun: Begun): Promise<void> {
    if (this.#link !== null) throw new Error('A daemon is debugged already.');
    this.#begun = begun;
    const launched =
      begun.request === 'launch'
        ? await this.host.launch(begun.wanted, (line) => this.#say('stdout', line))
        : null;
    const connection =
      begun.request === 'launch' && launched !== null
        ? launched.connection
        : await this.host.attach(begun.request === 'attach' ? begun.wanted : readAttach({}));
    const { client, target } = connection;
    try {
      const timeoutMs = Math.round(begun.wanted.timeout * 1_000);
      this.#listen(client);
      await client.call('debug.attach', { timeoutMs });
      const heartbeat = setInterval(() => {
        // A connection that is gone ends the session by itself.
        client.call('debug.heartbeat', {}).catch(() => undefined);
      }, timeoutMs / 3);
      const rule = ruleText(target.lookupRule);
      this.#link = { connection, launched, target, rule, heartbeat };
    } catch (error) {
      connection.close();
      await launched?.stop();
      throw error;
    }
    void connection.ended.then((reason) => this.#lost(connection, reason));
    this.#event('process', {
      name: target.sharedDir,
      systemProcessId: target.pid,
      isLocalProcess: true,
      startMethod: begun.request,
    });
    this.#event(TARGET_EVENT, { pid: target.pid });
    this.#say(
      'console',
      `Debugging ${target.implementation}, process ${target.pid}: ${target.sharedDir} on ${target.transport}, rule ${target.lookupRule}.`,
    );
  }

  async #enter(): Promise<void> {
    if (this.#begun?.wanted.stopOnEntry !== true) return;
    this.#entering = true;
    await this.#client.call('debug.pause', {});
  }

  #listen(client: InspectorClient): void {
    client.on('debug.stopped', (stop) => this.#stopped(stop));
    client.on('debug.resumed', (resumed) => this.#resumed(resumed));
    client.on('debug.output', (output) => this.#output(output));
    client.on('debug.faults', ({ faults }) => this.#struck(faults));
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
    const { connection, launched } = link;
    this.#unlink(link);
    try {
      await connection.client.call('debug.detach', {});
    } catch {
      // The connection is gone, and with it everything that was held.
    }
    connection.close();
    // A daemon that was attached to is its starter's to end; it may be on another host.
    if (ends) await launched?.stop();
  }

  #unlink({ heartbeat }: Link): void {
    clearInterval(heartbeat);
    this.#link = null;
    this.#threads.clear();
    this.#steps.clear();
    this.#forgetShown();
    this.#tellAt();
    this.#tellFaults([]);
  }

  // --- breakpoints --------------------------------------------------------------------------------

  async #set(kind: Kind, wishes: readonly Wish[]): Promise<Body<'SetBreakpoints'>> {
    return { breakpoints: await this.#breakpoints.set(this.#client, kind, wishes) };
  }

  async #setSourceBreakpoints({
    source,
    breakpoints = [],
  }: DebugProtocol.SetBreakpointsArguments): Promise<Body<'SetBreakpoints'>> {
    const refused = this.#refusalOf(source);
    const { rule } = this.#attached;
    const wishes = breakpoints.map((one): Wish => {
      const stop = rule.stopAt(one.line + 1 - this.#firstLine);
      if (refused !== null || stop === undefined) {
        return {
          wanted: { refused: refused ?? 'No request can be stopped here.' },
          line: one.line,
        };
      }
      return {
        wanted: wish(() => [refined({ decision: stop.decision }, one)]),
        line: this.#line(stop.line),
        source: this.#source(),
      };
    });
    return this.#set(`source:${source.path ?? source.name ?? ''}`, wishes);
  }

  /** Why breakpoints in a document cannot be hit, or null. */
  #refusalOf({ path, name, sourceReference }: DebugProtocol.Source): string | null {
    if (sourceReference === RULE_REFERENCE) return null;
    const rule = ruleOfPath(path ?? name ?? '');
    const { target } = this.#attached;
    if (rule === target.lookupRule) return null;
    return rule === undefined
      ? 'Breakpoints stand in the text of the lookup rule, which is shown at the first stop.'
      : `This daemon follows the rule ${target.lookupRule}; this is the text of ${rule}.`;
  }

  // --- what the daemon says -----------------------------------------------------------------------

  #stopped(stop: StoppedJson): void {
    this.#steps.delete(stop.request);
    this.#threads.stopped(stop);
    const kept = stop.breakpoints.flatMap((id) => this.#breakpoints.find(id) ?? []);
    const filter = kept.find((one) => one.filter !== undefined)?.filter;
    const headline = filter?.headline ?? kindHeadline(kept[0]?.kind);
    this.#event('stopped', {
      reason: this.#reasonOf(stop, kept[0]?.kind, filter?.isError),
      ...(headline === undefined ? {} : { description: `Paused on ${headline}` }),
      text: stopSentence(stop),
      threadId: threadOf(stop.request),
      allThreadsStopped: false,
      hitBreakpointIds: kept.map(({ id }) => id),
    } satisfies DebugProtocol.StoppedEvent['body']);
    this.#entering = false;
    if (stop.again) {
      this.#say(
        'console',
        'The tables have changed while it was held: its decisions are made again.',
      );
    }
    this.#tellAt();
  }

  #reasonOf(stop: StoppedJson, kind: Kind | undefined, isError: boolean | undefined): string {
    if (this.#entering && stop.reason === 'pause') return 'entry';
    if (stop.reason === 'step' || stop.reason === 'pause') return stop.reason;
    switch (kind) {
      case 'function':
        return 'function breakpoint';
      case 'data':
        return 'data breakpoint';
      case 'exception':
        // VS Code says “Exception has occurred” of these, which would be wrong of the others.
        return isError === true ? 'exception' : 'hazard';
      case undefined:
      default:
        return 'breakpoint';
    }
  }

  #resumed({ request, reason }: NotificationOf<'debug.resumed'>): void {
    const stop = this.#threads.stopOf(threadOf(request));
    const how = this.#steps.get(request);
    const stopsAgain =
      reason === 'step' && how !== undefined && stop !== null && hasNext(stop, how);
    this.#threads.resumed(request, stopsAgain);
    if (!this.#threads.someStopped) this.#forgetShown();
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

  #struck(faults: readonly FaultStateJson[]): void {
    for (const fault of faults) {
      const before = this.#faults.find(({ id }) => id === fault.id)?.struck ?? 0;
      if (fault.struck <= before) continue;
      const state = fault.usedUp ? 'used up now' : `so far ${fault.struck} times`;
      this.#say('console', `Injected: ${fault.call} has failed with ${fault.errno} (${state}).`);
    }
    this.#tellFaults(faults);
  }

  // --- going on -----------------------------------------------------------------------------------

  #stopOf(thread: number): StoppedJson {
    const stop = this.#threads.stopOf(thread);
    if (stop === null) throw new Error('This request is not stopped.');
    return stop;
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

  // --- what is shown ------------------------------------------------------------------------------

  #line(line: number): number {
    return line - 1 + this.#firstLine;
  }

  #source(): DebugProtocol.Source {
    const { lookupRule } = this.#attached.target;
    const name = ruleTextName(lookupRule);
    return this.host.hasRuleTexts
      ? { name, path: ruleTextUri(lookupRule) }
      : { name, sourceReference: RULE_REFERENCE, origin: 'virtiofsd Inspector' };
  }

  #framesOf(stop: StoppedJson): DebugProtocol.StackFrame[] {
    const { facts } = stop;
    const subject: Readonly<Record<string, string>> = {
      serve: stop.op,
      lookup: facts.name ?? '',
      decide: '',
      claim: `node ${facts.answer ?? '?'}`,
      insert: `node ${facts.answer ?? '?'}`,
      forget: `node ${facts.forgets?.node ?? '?'}`,
    };
    const place = {
      point: stop.point,
      accepted: facts.accepted,
      byHandle: facts.hit === 'handle_hit',
    };
    return this.#attached.rule.frames(place).map(({ routine, line }, i) => ({
      id: stop.request * FRAMES + i,
      name: `${routine} ${subject[routine] ?? ''}`.trim(),
      source: this.#source(),
      line: this.#line(line),
      column: this.#firstColumn,
    }));
  }

  #frameStop(frame: number): StoppedJson {
    return this.#stopOf(threadOf(Math.floor(frame / FRAMES)));
  }

  /** The stop of a frame, or the newest. */
  #stopOfFrame(frame: number | undefined): StoppedJson | null {
    const thread = frame === undefined ? null : threadOf(Math.floor(frame / FRAMES));
    return this.#threads.stopOf(thread);
  }

  async #scopesOf(stop: StoppedJson): Promise<DebugProtocol.Scope[]> {
    const client = this.#client;
    const [byIds, byHandle] = await Promise.all([
      tableChildren(client, 'inodes_by_ids'),
      tableChildren(client, 'inodes_by_handle'),
    ]);
    const candidate = candidateShown(stop);
    const request = requestShown(stop);
    // The client unfolds the first: what the lookup has found so far, if it is one.
    return [
      ...(candidate === null
        ? []
        : [
            this.#scope(
              'Candidate',
              named(() => candidate),
              false,
            ),
          ]),
      this.#scope(
        'Request',
        named(() => request),
        false,
      ),
      this.#scope(
        'Entries',
        named(() =>
          Promise.all([...entriesOf(stop)].map(([name, node]) => entryShown(client, name, node))),
        ),
        false,
      ),
      this.#scope('inodes_by_ids', byIds, true),
      this.#scope('inodes_by_handle', byHandle, true),
    ];
  }

  #scope(name: string, children: Children, expensive: boolean): DebugProtocol.Scope {
    return { name, expensive, ...this.#reference(children) };
  }

  #reference(children: Children): { variablesReference: number; indexedVariables?: number } {
    const variablesReference = this.#unfoldable.push(children);
    return children.kind === 'indexed'
      ? { variablesReference, indexedVariables: children.count }
      : { variablesReference };
  }

  #variable(parent: number, shown: Shown): DebugProtocol.Variable {
    const { name, value, evaluateName, children, watch } = shown;
    if (watch !== undefined) this.#watches.set(`${parent} ${name}`, shown);
    return {
      name,
      value,
      ...(evaluateName === undefined ? {} : { evaluateName }),
      ...(children === undefined ? { variablesReference: 0 } : this.#reference(children)),
    };
  }

  /** References are good until everything goes on. */
  #forgetShown(): void {
    this.#unfoldable = [];
    this.#watches.clear();
  }

  /** The filter that made it stop. */
  #filterOf(stop: StoppedJson): (typeof EXCEPTION_FILTERS)[number] | undefined {
    return stop.breakpoints.map((id) => this.#breakpoints.find(id)?.filter).find(Boolean);
  }

  // --- faults -------------------------------------------------------------------------------------

  /** The Debug Console's commands. @returns what to say, or null when it is none */
  async #command(text: string): Promise<string | null> {
    const spec = /^inject\s+(\S.*)$/.exec(text)?.[1];
    if (spec !== undefined) {
      const { id: _, ...fault } = parseFault(spec, 0);
      await this.#handlers[INJECT_REQUEST]({ faults: [fault] });
    } else if (text === 'clear') await this.#handlers[CLEAR_REQUEST]({});
    else if (text !== 'faults') return null;
    if (this.#faults.length === 0) return 'Nothing is made to fail.';
    return this.#faults
      .map((fault) => `${fault.id}  ${faultText(fault)}${fault.usedUp ? ' (used up)' : ''}`)
      .join('\n');
  }

  /** @throws Error with the daemon's reason when one is refused; the others stay armed */
  async #setFaults(faults: readonly FaultJson[]): Promise<void> {
    const answer = await this.#client.call('debug.setFaults', { faults: [...faults] });
    const active = await this.#client.call('debug.inspect', {});
    this.#tellFaults(active.faults);
    const refused = answer.faults.find(({ armed }) => !armed);
    if (refused !== undefined) throw new Error(refused.message ?? 'The daemon refused the fault.');
  }

  #tellFaults(faults: readonly FaultStateJson[]): void {
    this.#faults = faults;
    this.#event(FAULTS_EVENT, { faults: [...faults] } satisfies FaultsBody);
  }

  /** Tells views where the newest stop is. */
  #tellAt(): void {
    const stop = this.#threads.stopOf(null);
    const at = stop === null ? null : placeOf(stop);
    this.#event(AT_EVENT, { at } satisfies AtBody);
  }
}

/** The entry that a stop is about, and the edge that its step has looked at. */
function placeOf(stop: StoppedJson): StopPlace {
  const { facts, point } = stop;
  const sentence = stopSentence(stop);
  switch (point) {
    case 'by_handle': {
      const nodeid = facts.byHandle?.node ?? null;
      return {
        nodeid,
        table: nodeid === null ? null : 'inodes_by_handle',
        accepted: true,
        sentence,
      };
    }
    case 'by_ids':
    case 'fallback': {
      const nodeid = facts.byIds?.node ?? null;
      const table = nodeid === null ? null : 'inodes_by_ids';
      return { nodeid, table, accepted: facts.accepted ?? true, sentence };
    }
    case 'claimed': {
      const table = facts.hit === 'handle_hit' ? 'inodes_by_handle' : 'inodes_by_ids';
      return { nodeid: facts.answer, table, accepted: true, sentence };
    }
    case 'inserted':
    case 'reply':
      return { nodeid: facts.answer, table: null, accepted: null, sentence };
    case 'counted':
      return { nodeid: facts.forgets?.node ?? null, table: null, accepted: null, sentence };
    case 'request':
    case 'parent':
    case 'opened':
    case 'identified':
    case 'handle':
    case 'removed':
    case 'keys_removed':
      return { nodeid: null, table: null, accepted: null, sentence };
  }
}

function named(load: () => readonly Shown[] | Promise<readonly Shown[]>): Children {
  return { kind: 'named', load: async () => load() };
}

function exceptionWish({ filterId, condition }: DebugProtocol.ExceptionFilterOptions): Wish {
  const filter = EXCEPTION_FILTERS.find((known) => known.filter === filterId);
  if (filter === undefined) return { wanted: { refused: `There is no filter ${filterId}.` } };
  const more = condition === undefined ? {} : { condition };
  return { wanted: filter.wanted.map((wanted) => refined(wanted, more)), filter };
}

function kindHeadline(kind: Kind | undefined): string | undefined {
  if (kind === undefined) return undefined;
  return kind === 'function' || kind === 'data' ? `${kind} breakpoint` : 'breakpoint';
}

function asFault({ struck: _struck, usedUp: _usedUp, ...fault }: FaultStateJson): FaultJson {
  return fault;
}

/**
 * One client of the inspector. What it asked to follow is sent when there is room for it: a client
 * that reads slowly gets the newest window instead of every one, and events from where it stands
 * until they are no longer kept (`gap`). One that stops reading altogether is dropped.
 */

import * as v from 'valibot';
import type { WebSocket } from 'ws';
import type {} from '../debug/spec';
import type { OpenFilesPage } from '../tables/gate';
import type { DEBUG_METHODS } from '../protocol/debug';
import { encodeFrame, OVERVIEW_FRAME } from '../protocol/binary';
import { eventToJson, hazardToJson, isoTime } from '../protocol/eventJson';
import type { InspectorEvent } from '../protocol/eventJson';
import { PROTOCOL_VERSION } from '../protocol/json';
import type { Snapshot } from '../protocol/json';
import type { Status } from '../protocol/map';
import type {
  MethodName,
  NotificationName,
  NotificationOf,
  RequestOf,
  ResultOf,
} from '../protocol/rpc';
import { CLOSE_CODES, METHODS, RPC_ERRORS, rpcRequest, SNAPSHOT_ENTRIES } from '../protocol/rpc';
import { handleToJson, idsToJson } from '../protocol/text';
import type { Nodeid } from '../tables/identity';
import { asNodeid } from '../tables/identity';
import { InodeTables } from '../tables/inodeTables';
import type { DebugLease, Debugger } from './debugLease';
import { entryRow, entryToJson } from './entryJson';
import { errnoName } from './errnoName';
import type { EventHistory } from './eventHistory';
import { KeyMapView } from './keyMap';
import type { LiveModel } from './liveModel';
import { RpcError } from './rpcError';

/** Unsent bytes above which nothing more is put on the way. */
const HIGH_WATER = 1024 * 1024;
const EVENTS_A_FRAME = 200;
/** Windows at most this often, in milliseconds: 20 a second. */
const MAP_INTERVAL = 50;
/**
 * How long a first change waits for those that come with it: a program's create is a lookup that
 * finds nothing and then the creation, and a window between the two would cost the next 50 ms.
 */
const MAP_GATHERING = 6;
const STATUS_INTERVAL = 250;
/** A client that takes nothing for this long is dropped. */
export const PATIENCE_MS = 30_000;
const HISTORY_OF_ENTRY = 100;

export interface Log {
  info(sentence: string): void;
  warn(sentence: string): void;
}

export class InspectorSession {
  #client = 'unnamed client';
  #greeted = false;
  #followFrom: number | null = null;
  #pages: { readonly tables: InodeTables; readonly seq: number } | null = null;
  #map: KeyMapView | null = null;
  #mapVersion = -1;
  #mapSentAt = 0;
  #mapChangedAt: number | null = null;
  #statusWatched = false;
  #statusVersion = -1;
  #statusSentAt = 0;
  #stuckSince: number | null = null;
  #timer: NodeJS.Timeout | null = null;
  #wakesAt = 0;
  readonly #debugger: Debugger;

  constructor(
    private readonly socket: WebSocket,
    private readonly model: LiveModel,
    private readonly history: EventHistory,
    private readonly log: Log,
    private readonly debug: DebugLease | null,
  ) {
    const clientOf = () => this.#client;
    this.#debugger = {
      get client() {
        return clientOf();
      },
      notify: (name, params) => this.#notify(name, params),
    };
    socket.on('message', (data, isBinary) => this.#receive(data, isBinary));
    // ws closes the connection itself after a protocol error (1002, 1007, 1009).
    socket.on('error', (error) => this.log.warn(`Inspector: ${this.#client}: ${error.message}`));
    socket.on('close', () => {
      this.#stopTimer();
      this.debug?.leave(this.#debugger, 'disconnected');
    });
  }

  /** The model changed: sends what is due. */
  changed(): void {
    if (this.socket.readyState !== this.socket.OPEN) return;
    const now = performance.now();
    if (!this.#hasRoom(now)) return;
    this.#sendEvents();
    this.#wakeIn(Math.min(this.#sendMap(now), this.#sendStatus(now)), now);
  }

  /** Looks again after `wait` milliseconds, or sooner when that was planned already. */
  #wakeIn(wait: number, now: number): void {
    const at = now + wait;
    if (wait === Infinity || (this.#timer !== null && this.#wakesAt <= at)) return;
    this.#stopTimer();
    this.#wakesAt = at;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.changed();
    }, wait);
  }

  end(reason: string): void {
    this.#stopTimer();
    this.socket.close(CLOSE_CODES.shutdown, reason);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Also the watch over clients that stopped reading. */
  #hasRoom(now: number): boolean {
    if (this.socket.bufferedAmount < HIGH_WATER) {
      this.#stuckSince = null;
      return true;
    }
    this.#stuckSince ??= now;
    if (now - this.#stuckSince > PATIENCE_MS) {
      this.log.warn(`Inspector: dropped ${this.#client}, which read nothing for 30 seconds.`);
      this.#stopTimer();
      this.socket.close(CLOSE_CODES.tooSlow, 'You read nothing for 30 seconds.');
      // A peer that does not read does not answer the closing handshake either.
      this.socket.terminate();
    }
    return false;
  }

  // --- requests -----------------------------------------------------------------------------------

  #receive(data: WebSocket.RawData, isBinary: boolean): void {
    if (isBinary) {
      this.#malformed('Binary frames go from the daemon to its clients only.');
      return;
    }
    let json: unknown;
    try {
      json = JSON.parse((data as Buffer).toString('utf8'));
    } catch {
      this.#malformed('The frame is not JSON.');
      return;
    }
    const request = v.safeParse(rpcRequest, json);
    if (!request.success) {
      this.#malformed('The frame is not a JSON-RPC 2.0 request with an id and a method.');
      return;
    }
    const { id, method, params } = request.output;
    try {
      const result = this.#answer(id, method, params ?? {});
      if (result instanceof Promise) {
        result
          .then((late: unknown) => this.#send({ jsonrpc: '2.0', id, result: late }))
          .catch((error: unknown) => this.#refuse(id, method, error));
      } else this.#send({ jsonrpc: '2.0', id, result });
    } catch (error) {
      this.#refuse(id, method, error);
    }
  }

  #refuse(id: number | string, method: string, error: unknown): void {
    const known = error instanceof RpcError;
    const code = known ? error.code : RPC_ERRORS.internal;
    const message = error instanceof Error ? error.message : String(error);
    if (!known) this.log.warn(`Inspector: ${method} for ${this.#client} failed: ${message}`);
    this.#send({ jsonrpc: '2.0', id, error: { code, message } });
    if (code === RPC_ERRORS.version) this.socket.close(CLOSE_CODES.version, message.slice(0, 120));
  }

  /** Says what is wrong, logs it, and ends the connection: the peer does not speak the protocol. */
  #malformed(message: string): void {
    this.log.warn(`Inspector: ${this.#client} sent a malformed frame: ${message}`);
    this.#send({ jsonrpc: '2.0', id: null, error: { code: RPC_ERRORS.invalidRequest, message } });
    this.socket.close(CLOSE_CODES.malformed, message);
  }

  #answer(id: number | string, method: string, params: unknown): unknown {
    if (!isMethod(method)) {
      const names = Object.keys(METHODS).join(', ');
      throw new RpcError(
        RPC_ERRORS.unknownMethod,
        `There is no method “${method}”; there are ${names}.`,
      );
    }
    if (!this.#greeted && method !== 'hello') {
      throw new RpcError(RPC_ERRORS.helloFirst, 'The first call must be hello.');
    }
    switch (method) {
      case 'hello':
        return this.#hello(parse('hello', params));
      case 'snapshot':
        return this.#snapshot();
      case 'pages':
        return this.#page(parse('pages', params));
      case 'events.follow':
        return this.#follow(parse('events.follow', params));
      case 'events.stop':
        this.#followFrom = null;
        return {};
      case 'map.watch':
        return this.#watchMap(parse('map.watch', params));
      case 'map.stop':
        this.#map = null;
        return {};
      case 'overview':
        return this.#overview(id, parse('overview', params));
      case 'entry':
        return this.#entry(parse('entry', params));
      case 'row': {
        const nodeid = this.model.tables.nodeidAt(parse('row', params).row);
        return { nodeid: nodeid === 0 ? null : String(nodeid) };
      }
      case 'hazards': {
        const { from, count } = parse('hazards', params);
        const { hazards } = this.model;
        return {
          hazards: hazards.list(count, from).map(hazardToJson),
          totals: hazards.totals,
          closed: hazards.closed,
        };
      }
      case 'status.watch':
        this.#statusWatched = true;
        this.#statusVersion = this.model.version;
        return this.#status();
      case 'debug.attach':
      case 'debug.heartbeat':
      case 'debug.detach':
      case 'debug.setBreakpoints':
      case 'debug.setFaults':
      case 'debug.pause':
      case 'debug.continue':
      case 'debug.step':
      case 'debug.inspect':
      case 'debug.openFiles':
      case 'debug.evaluate':
        return this.#debugged(method, params);
    }
  }

  #debugged(method: DebugMethod, params: unknown): unknown {
    const { debug } = this;
    const who = this.#debugger;
    if (debug === null) {
      throw new RpcError(RPC_ERRORS.debuggerBusy, 'This target cannot be debugged, only observed.');
    }
    switch (method) {
      case 'debug.attach': {
        const { timeoutMs, lease } = parse(method, params);
        return debug.attach(who, timeoutMs, lease);
      }
      case 'debug.heartbeat':
        debug.heard(who);
        return {};
      case 'debug.detach':
        debug.heard(who);
        debug.leave(who, 'detached');
        return {};
      case 'debug.setBreakpoints':
        return debug.setBreakpoints(who, parse(method, params).breakpoints);
      case 'debug.setFaults':
        return debug.setFaults(who, parse(method, params).faults);
      case 'debug.pause':
        debug.pause(who);
        return {};
      case 'debug.continue':
        return debug.continue(who, parse(method, params).request);
      case 'debug.step': {
        const { request, how } = parse(method, params);
        return debug.step(who, request, how);
      }
      case 'debug.inspect':
        debug.heard(who);
        return debug.inspect();
      case 'debug.openFiles': {
        const { from, count } = parse(method, params);
        return this.#openFiles(debug.openFiles(who, from, count));
      }
      case 'debug.evaluate': {
        const { request, expression } = parse(method, params);
        return debug.evaluate(who, request, expression);
      }
    }
  }

  async #openFiles(asked: Promise<OpenFilesPage>): Promise<ResultOf<'debug.openFiles'>> {
    const { total, files } = await asked;
    return {
      total,
      files: files.map(({ fh, nodeid, isDirectory, flags }) => ({
        fh: String(fh),
        nodeid: String(nodeid),
        path: this.model.path(nodeid),
        isDirectory,
        flags,
      })),
    };
  }

  #hello({ protocol, client }: RequestOf<'hello'>): ResultOf<'hello'> {
    if (protocol.min > PROTOCOL_VERSION || protocol.max < PROTOCOL_VERSION) {
      throw new RpcError(
        RPC_ERRORS.version,
        `This daemon speaks inspector protocol ${PROTOCOL_VERSION}, you speak ${protocol.min} to ${protocol.max}. Update the older of the two.`,
      );
    }
    this.#greeted = true;
    this.#client = client;
    this.log.info(`Inspector: ${client} connected.`);
    return { protocol: PROTOCOL_VERSION, target: this.model.target };
  }

  #snapshot(): Snapshot {
    const { tables } = this.model;
    if (tables.size > SNAPSHOT_ENTRIES) {
      throw new RpcError(
        RPC_ERRORS.tooLarge,
        `There are ${tables.size} entries; above ${SNAPSHOT_ENTRIES} a snapshot is read with the method pages.`,
      );
    }
    const { entries, inodes_by_ids, inodes_by_handle } = this.#page({
      from: 0,
      count: tables.rowLimit,
    });
    return {
      protocol: PROTOCOL_VERSION,
      seq: String(this.model.nextSeq - 1),
      time: isoTime(Date.now()),
      target: this.model.target,
      entries,
      inodes_by_ids,
      inodes_by_handle,
      hazards: this.model.hazards.list(Infinity).map(hazardToJson),
      counters: this.model.counters,
    };
  }

  /**
   * Pages of one snapshot come from one state of the tables: the first page keeps a copy of them
   * until the last is read.
   */
  #page({ from, count }: RequestOf<'pages'>): ResultOf<'pages'> {
    const { model } = this;
    if (from === 0) this.#pages = null;
    if (from === 0 && count < model.tables.rowLimit) {
      const copy = new InodeTables(model.tables.rule);
      copy.restore(model.tables.image());
      this.#pages = { tables: copy, seq: model.nextSeq - 1 };
    }
    const { tables, seq } = this.#pages ?? { tables: model.tables, seq: model.nextSeq - 1 };
    if (from + count >= tables.rowLimit) this.#pages = null;
    const page: ResultOf<'pages'> = {
      seq: String(seq),
      rows: tables.rowLimit,
      entries: [],
      inodes_by_ids: [],
      inodes_by_handle: [],
    };
    for (let row = from; row < Math.min(from + count, tables.rowLimit); row++) {
      if (tables.nodeidAt(row) === 0) continue;
      const entry = tables.entryAt(row);
      const nodeid = String(entry.nodeid);
      page.entries.push(entryToJson(entry, model));
      if (tables.ownerOfIdsKey(entry.nodeid) === entry.nodeid) {
        page.inodes_by_ids.push({ ids: idsToJson(entry.ids), nodeid });
      }
      if (entry.handle !== null && tables.ownerOfHandleKey(entry.nodeid) === entry.nodeid) {
        page.inodes_by_handle.push({ handle: handleToJson(entry.handle), nodeid });
      }
    }
    return page;
  }

  #follow({ from }: RequestOf<'events.follow'>): ResultOf<'events.follow'> {
    const next = this.model.nextSeq;
    this.#followFrom = from === undefined ? next : Math.min(Number(from), next);
    // The answer goes first.
    setImmediate(() => this.changed());
    return { oldest: String(this.history.oldest), next: String(next) };
  }

  #watchMap(request: RequestOf<'map.watch'>): ResultOf<'map.watch'> {
    if (this.#map === null) this.#map = new KeyMapView(this.model, this.history, request);
    else this.#map.move(request);
    this.#mapVersion = this.model.version;
    this.#mapSentAt = performance.now();
    return this.#map.window();
  }

  #overview(id: number | string, request: RequestOf<'overview'>): ResultOf<'overview'> {
    if (typeof id !== 'number' || id < 0 || id > 0xffffffff) {
      throw new RpcError(RPC_ERRORS.invalidParams, 'overview needs a number below 2^32 as its id.');
    }
    const rows = this.model.tables.rowLimit;
    const to = Math.max(request.from + 1, Math.min(request.to, Math.max(1, rows)));
    const cells = this.model.overview.cells(request.from, to, request.cells);
    this.socket.send(encodeFrame(OVERVIEW_FRAME, id, cells), { binary: true });
    return { rows };
  }

  #entry({ nodeid: text }: RequestOf<'entry'>): ResultOf<'entry'> {
    const nodeid = asNodeid(Number(text));
    const entry = nodeid === undefined ? undefined : this.model.tables.entry(nodeid);
    if (entry === undefined) {
      throw new RpcError(RPC_ERRORS.unknownEntry, `Node ${text} is not in the tables (any more).`);
    }
    return {
      row: entryRow(entry, this.model, false),
      history: this.history
        .newestOf(entry.nodeid, HISTORY_OF_ENTRY, (event) => concerns(event, entry.nodeid))
        .map((event) => eventToJson(event, errnoName)),
      hazards: this.model.hazards.of(entry.nodeid).map(hazardToJson),
    };
  }

  #status(): Status {
    return {
      seq: String(this.model.nextSeq - 1),
      counters: this.model.counters,
      open: this.model.hazards.bySeverity,
      debugger: this.debug?.status ?? null,
    };
  }

  // --- what is followed -----------------------------------------------------------------------------

  #sendEvents(): void {
    if (this.#followFrom === null) return;
    if (this.#followFrom < this.history.oldest) {
      const from = String(this.#followFrom);
      this.#notify('gap', { from, to: String(this.history.oldest - 1) });
      this.#followFrom = this.history.oldest;
    }
    while (this.#followFrom < this.model.nextSeq && this.socket.bufferedAmount < HIGH_WATER) {
      const events = this.history.from(this.#followFrom, EVENTS_A_FRAME);
      if (events.length === 0) return;
      this.#notify('events', { events: events.map((event) => eventToJson(event, errnoName)) });
      this.#followFrom = (events.at(-1)?.seq ?? this.#followFrom) + 1;
    }
  }

  /** @returns in how many milliseconds to look again, or Infinity */
  #sendMap(now: number): number {
    if (this.#map === null || this.#mapVersion === this.model.version) return Infinity;
    this.#mapChangedAt ??= now;
    const due = Math.max(this.#mapSentAt + MAP_INTERVAL, this.#mapChangedAt + MAP_GATHERING) - now;
    if (due > 0) return due;
    this.#mapChangedAt = null;
    this.#mapVersion = this.model.version;
    this.#mapSentAt = now;
    this.#notify('map', this.#map.window());
    return Infinity;
  }

  #sendStatus(now: number): number {
    if (!this.#statusWatched || this.#statusVersion === this.model.version) return Infinity;
    const due = this.#statusSentAt + STATUS_INTERVAL - now;
    if (due > 0) return due;
    this.#statusVersion = this.model.version;
    this.#statusSentAt = now;
    this.#notify('status', this.#status());
    return Infinity;
  }

  #notify<N extends NotificationName>(method: N, params: NotificationOf<N>): void {
    this.#send({ jsonrpc: '2.0', method, params });
  }

  #send(message: object): void {
    if (this.socket.readyState === this.socket.OPEN) this.socket.send(JSON.stringify(message));
  }
}

type DebugMethod = keyof typeof DEBUG_METHODS;

function isMethod(name: string): name is MethodName {
  return Object.hasOwn(METHODS, name);
}

function parse<M extends MethodName>(method: M, params: unknown): RequestOf<M> {
  const parsed = v.safeParse(METHODS[method].request, params);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  const where = v.getDotPath(issue) ?? 'params';
  throw new RpcError(RPC_ERRORS.invalidParams, `${method}: ${where}: ${issue.message}`);
}

function concerns(event: InspectorEvent, nodeid: Nodeid): boolean {
  switch (event.type) {
    case 'lookup':
      return event.nodeid === nodeid || event.byIds === nodeid || event.byHandle === nodeid;
    case 'insert':
    case 'forget':
    case 'remove':
    case 'open_by_handle':
      return event.nodeid === nodeid;
    case 'key_lost':
      return event.nodeid === nodeid || event.with === nodeid;
    case 'key_stolen':
      return event.from === nodeid || event.by === nodeid;
    case 'hazard':
    case 'hazard_closed':
      return event.hazard.nodeids.includes(nodeid);
    case 'init':
    case 'destroy':
    case 'resync':
    case 'paused':
    case 'resumed':
    case 'injected':
      return false;
  }
}

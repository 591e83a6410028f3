/**
 * The extension's own connection to one daemon: who it is, its counters, its open hazards. The Key
 * Map has a connection of its own (mapSession.ts), so that neither waits for the other.
 */

import type WebSocket from 'ws';
import { InspectorClient } from '../../daemon/protocol/client';
import type { HazardJson, Target } from '../../daemon/protocol/json';
import type { Status } from '../../daemon/protocol/map';
import type { Address } from './address';
import type { Log } from './log';
import { messageOf } from './log';
import { Signal } from './signal';
import { bytesOf, describeClose, describeSocketError, openSocket } from './socket';

/** Hazards are listed up to this many; the counts by id cover all. */
const LISTED_HAZARDS = 500;

/** Milliseconds between two readings of the hazards while lookups keep coming. */
const HAZARD_READING_MS = 500;

/** Paths remembered for the rows of hazards. */
const KEPT_PATHS = 1_000;

export interface OpenHazards {
  /** The worst first, at most LISTED_HAZARDS. */
  readonly listed: readonly HazardJson[];
  /** Open hazards by id, those not listed included. */
  readonly totals: Readonly<Record<string, number>>;
  /** Hazards that came and went, by id. */
  readonly closed: Readonly<Record<string, number>>;
}

export type LinkState =
  | { readonly state: 'connecting' }
  | {
      readonly state: 'open';
      readonly target: Target;
      readonly status: Status;
      readonly hazards: OpenHazards;
      readonly client: InspectorClient;
    }
  | { readonly state: 'closed'; readonly reason: string };

type SettledState = Exclude<LinkState, { state: 'connecting' }>;

export class DaemonLink {
  /** Fires after each change of `state`. */
  readonly changed = new Signal<LinkState>();

  #state: LinkState = { state: 'connecting' };
  #hazardTimer: NodeJS.Timeout | undefined;
  readonly #paths = new Map<string, string>();
  readonly #socket: WebSocket;

  /** Connects at once. @param client who asks, for the daemon's log */
  constructor(
    readonly address: Address,
    client: string,
    private readonly log: Log,
  ) {
    const socket = openSocket(address);
    this.#socket = socket;
    const inspector = new InspectorClient((text) => socket.send(text));
    inspector.on('status', (status) => this.#takeStatus(status));
    socket.on('open', () => void this.#greet(inspector, client));
    socket.on('message', (data, isBinary) => {
      try {
        const bytes = bytesOf(data);
        if (isBinary) inspector.receiveBinary(bytes);
        else inspector.receiveText(bytes.toString('utf8'));
      } catch (error) {
        this.#close(messageOf(error));
      }
    });
    socket.on('error', (error) => this.#close(describeSocketError(error, address)));
    socket.on('close', (code, reason) => this.#close(describeClose(code, reason.toString('utf8'))));
    this.changed.on((state) => {
      if (state.state === 'closed') inspector.end(state.reason);
    });
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Resolves once it is open or closed. */
  settled(): Promise<SettledState> {
    if (this.#state.state !== 'connecting') return Promise.resolve(this.#state);
    return new Promise((resolve) => {
      const stop = this.changed.on((state) => {
        if (state.state === 'connecting') return;
        stop();
        resolve(state);
      });
    });
  }

  close(reason: string): void {
    this.#close(reason);
  }

  /**
   * The paths of entries, by the names that they were looked up with when they were first asked
   * for here. Entries that are gone, or whose path is unknown, are left out.
   */
  async pathsOf(nodeids: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const state = this.state;
    if (state.state !== 'open') return this.#paths;
    if (this.#paths.size > KEPT_PATHS) this.#paths.clear();
    const unknown = nodeids.filter((nodeid) => !this.#paths.has(nodeid));
    await Promise.all(
      unknown.map(async (nodeid) => {
        try {
          const { path } = (await state.client.call('entry', { nodeid })).row.entry;
          if (path !== null) this.#paths.set(nodeid, path);
        } catch (error) {
          // Forgotten by the guest since the hazard was listed: its row goes with the next reading.
          this.log.trace(`Node ${nodeid} has no path to show: ${messageOf(error)}`);
        }
      }),
    );
    return this.#paths;
  }

  async #greet(inspector: InspectorClient, client: string): Promise<void> {
    try {
      const { target } = await inspector.hello(client);
      const status = await inspector.call('status.watch', {});
      const hazards = await readHazards(inspector);
      if (this.#state.state !== 'connecting') return;
      this.#set({ state: 'open', target, status, hazards, client: inspector });
    } catch (error) {
      this.#close(messageOf(error));
    }
  }

  #takeStatus(status: Status): void {
    if (this.#state.state !== 'open') return;
    this.#set({ ...this.#state, status });
    // Even with equal counts: a hazard can close while another opens.
    this.#hazardTimer ??= setTimeout(() => void this.#readHazards(), HAZARD_READING_MS);
  }

  async #readHazards(): Promise<void> {
    const before = this.state;
    if (before.state !== 'open') return;
    try {
      const hazards = await readHazards(before.client);
      const now = this.state;
      if (now.state === 'open' && !sameHazards(hazards, now.hazards)) {
        this.#set({ ...now, hazards });
      }
    } catch (error) {
      this.log.warn(`The hazards of ${this.address.url} cannot be read: ${messageOf(error)}`);
    } finally {
      this.#hazardTimer = undefined;
    }
  }

  #set(state: LinkState): void {
    this.#state = state;
    this.changed.fire(state);
  }

  #close(reason: string): void {
    if (this.#state.state === 'closed') return;
    clearTimeout(this.#hazardTimer);
    this.#set({ state: 'closed', reason });
    this.#socket.close();
  }
}

async function readHazards(inspector: InspectorClient): Promise<OpenHazards> {
  const { hazards, totals, closed } = await inspector.call('hazards', {
    state: 'open',
    count: LISTED_HAZARDS,
  });
  return { listed: hazards, totals, closed };
}

function sameHazards(a: OpenHazards, b: OpenHazards): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** What the adapter needs from whoever runs it: VS Code's extension host, or the command line. */

import type { InspectorClient } from '../protocol/client';
import type { Target } from '../protocol/json';
import type { AttachArguments, LaunchArguments } from './arguments';

export interface Connection {
  readonly client: InspectorClient;
  readonly target: Target;
  /** Resolves when the connection is over, with the reason in words. */
  readonly ended: Promise<string>;
  close(): void;
}

/** A daemon that was started for a session, and ends with it. */
export interface Launched {
  readonly connection: Connection;
  readonly pid: number;
  /** Where the guest finds it, for people: a mountpoint or a socket. */
  readonly place: string;
  /** Ends it; resolves when it is gone. */
  stop(): Promise<void>;
}

export interface AdapterHost {
  /** Whether rule texts are documents of the client's own; otherwise it asks the adapter. */
  readonly hasRuleTexts: boolean;
  /**
   * Connects and greets.
   *
   * @throws Error with a sentence when there is no such daemon, or it does not answer
   */
  attach(wanted: AttachArguments): Promise<Connection>;
  /** Starts a daemon. @throws Error with its own last words when it fails */
  launch(wanted: LaunchArguments, say: (line: string) => void): Promise<Launched>;
}

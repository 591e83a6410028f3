/** The beginning and the end of debugging a daemon. */

import type { InspectorClient } from '../protocol/client';
import type { AttachArguments, LaunchArguments } from './arguments';
import { readAttach, readLaunch } from './arguments';
import type { AdapterHost, Connection, Launched } from './host';

/** How a client has asked to begin. */
export type Beginning =
  | { readonly request: 'attach'; readonly wanted: AttachArguments }
  | { readonly request: 'launch'; readonly wanted: LaunchArguments };

/** @throws Error that names what is wrong with the arguments */
export function readBeginning(request: Beginning['request'], given: unknown): Beginning {
  return request === 'launch'
    ? { request, wanted: readLaunch(given) }
    : { request, wanted: readAttach(given) };
}

/** A daemon while it is debugged. */
export interface Link {
  readonly connection: Connection;
  readonly launched: Launched | null;
  /** Stops saying that the debugger lives. */
  readonly silence: () => void;
}

/**
 * Starts the daemon or connects to it, and becomes its debugger.
 *
 * @param listen before anything can be held
 * @throws Error with a sentence; what had been started is ended again
 */
export async function begin(
  host: AdapterHost,
  beginning: Beginning,
  listen: (client: InspectorClient) => void,
  say: (line: string) => void,
): Promise<Link> {
  const { connection, launched } = await open(host, beginning, say);
  try {
    const { client } = connection;
    const timeoutMs = Math.round(beginning.wanted.timeout * 1_000);
    listen(client);
    await client.call('debug.attach', { timeoutMs });
    const heartbeat = setInterval(() => {
      // A connection that is gone ends the session by itself.
      client.call('debug.heartbeat', {}).catch(() => undefined);
    }, timeoutMs / 3);
    return { connection, launched, silence: () => clearInterval(heartbeat) };
  } catch (error) {
    connection.close();
    await launched?.stop();
    throw error;
  }
}

async function open(
  host: AdapterHost,
  beginning: Beginning,
  say: (line: string) => void,
): Promise<Pick<Link, 'connection' | 'launched'>> {
  if (beginning.request === 'attach') {
    return { connection: await host.attach(beginning.wanted), launched: null };
  }
  const launched = await host.launch(beginning.wanted, say);
  return { connection: launched.connection, launched };
}

/** Lets everything go on. @param ends the daemon ends as well, if it was started for the session */
export async function leave({ connection, launched }: Link, ends: boolean): Promise<void> {
  try {
    await connection.client.call('debug.detach', {});
  } catch {
    // The connection is gone, and with it everything that was held.
  }
  connection.close();
  // A daemon that was attached to is its starter's to end; it may be on another host.
  if (ends) await launched?.stop();
}

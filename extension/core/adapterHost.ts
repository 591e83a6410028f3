/** What a debug session needs of the extension: connections to daemons, and daemons of its own. */

import { InspectorClient } from '../../daemon/protocol/client';
import type { AttachArguments, LaunchArguments } from '../../daemon/adapter/arguments';
import type { AdapterHost, Connection, Launched } from '../../daemon/adapter/host';
import type { Address } from './address';
import { addressOf, parseAddress } from './address';
import type { Daemon, Daemons } from './daemons';
import { messageOf } from './log';
import type { RuntimeFiles } from './runtimeFiles';
import { readOneRuntimeFile } from './runtimeFiles';
import { bytesOf, describeClose, describeSocketError, openSocket } from './socket';
import type { StartedDaemons, StartRequest } from './started';

export interface HostParts {
  readonly files: RuntimeFiles;
  readonly daemons: Daemons;
  readonly started: StartedDaemons;
  /** Who debugs, for the daemon's log and for others who would. */
  readonly client: string;
  /** How to run the bundled daemon. @throws Error when that cannot be */
  startRequest(sharedDir: string): Omit<StartRequest, 'inodeFileHandles' | 'cache'>;
}

export function adapterHost(parts: HostParts): AdapterHost {
  const { daemons, started, client } = parts;
  return {
    hasRuleTexts: true,
    attach: async (wanted) => connect(await addressFor(parts, wanted), client),
    launch: async (wanted, say) => {
      const daemon = await started.start(
        requestFor(wanted, parts.startRequest(wanted.sharedDir)),
        AbortSignal.timeout(60_000),
      );
      daemons.choose(daemon.key);
      try {
        const launched = await attachTo(daemon, started, client);
        say(`Serving ${wanted.sharedDir}: ${launched.place}.`);
        return launched;
      } catch (error) {
        await started.stop(daemon.key);
        throw error;
      }
    },
  };
}

function requestFor(
  wanted: LaunchArguments,
  base: ReturnType<HostParts['startRequest']>,
): StartRequest {
  const { mount, socketPath, inodeFileHandles, cache, lookupRule, args } = wanted;
  const place =
    mount !== undefined
      ? ['--mount', mount]
      : socketPath !== undefined
        ? ['--socket-path', socketPath]
        : undefined;
  return {
    ...base,
    inodeFileHandles,
    cache,
    more: [`--lookup-rule=${lookupRule}`, ...args],
    ...(place === undefined ? {} : { place }),
  };
}

async function attachTo(
  daemon: Daemon,
  started: StartedDaemons,
  client: string,
): Promise<Launched> {
  const connection = await connect(daemon.address, client);
  return {
    connection,
    pid: connection.target.pid,
    place: connection.target.transport,
    stop: () => started.stop(daemon.key),
  };
}

/** @throws Error with a sentence when no daemon, or more than one, is meant */
async function addressFor(
  { files }: HostParts,
  { pid, url, runtimeFile }: AttachArguments,
): Promise<Address> {
  if (url !== undefined) {
    const address = parseAddress(url);
    if (typeof address === 'string') throw new Error(address);
    return address;
  }
  if (runtimeFile !== undefined) return addressOf(await readOneRuntimeFile(runtimeFile));
  await files.rescan();
  const fitting = files.files.filter((file) => pid === undefined || file.pid === pid);
  const [only, ...others] = fitting;
  if (only !== undefined && others.length === 0) return addressOf(only);
  const there = files.files.map((file) => `${file.pid} (${file.sharedDir})`).join(', ');
  throw new Error(
    there === ''
      ? 'No daemon runs here that you may debug: launch one instead.'
      : `${pid === undefined ? 'Name one daemon by its pid' : `Process ${pid} is no daemon`}; there are ${there}.`,
  );
}

/** @throws Error with a sentence when there is no answer */
export async function connect(address: Address, name: string): Promise<Connection> {
  const socket = openSocket(address);
  const client = new InspectorClient((text) => socket.send(text));
  const ended = new Promise<string>((resolve) => {
    const end = (reason: string): void => {
      client.end(reason);
      resolve(reason);
    };
    socket.on('error', (error) => end(describeSocketError(error, address)));
    socket.on('close', (code, reason) => end(describeClose(code, reason.toString('utf8'))));
  });
  socket.on('message', (data, isBinary) => {
    try {
      const bytes = bytesOf(data);
      if (isBinary) client.receiveBinary(bytes);
      else client.receiveText(bytes.toString('utf8'));
    } catch (error) {
      socket.close(4000, messageOf(error).slice(0, 120));
    }
  });
  await Promise.race([
    new Promise<void>((resolve) => socket.once('open', resolve)),
    ended.then((reason) => {
      throw new Error(reason);
    }),
  ]);
  const { target } = await client.hello(name);
  return { client, target, ended, close: () => socket.close() };
}

/**
 * The file system and its /dev/fuse session without the inspector: what the tests of this folder
 * run. Takes one JSON argument; prints "ready" when the mount serves; SIGTERM unmounts and ends it.
 */

import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { loadAddon } from '../../native/index';
import { createFileSystem } from '../../daemon/passthrough/fileSystem';
import type { PassthroughOptions } from '../../daemon/passthrough/options';
import { InodeTables } from '../../daemon/tables/inodeTables';
import { LOOKUP_RULES } from '../../daemon/tables/lookupRule';
import type { LookupRuleName } from '../../daemon/tables/lookupRule';
import type { Recorder } from '../../daemon/tables/recorder';
import { mountFuse, serve } from '../../daemon/transport/fuseSession';

export interface ProgramOptions extends Omit<PassthroughOptions, 'lookupRule'> {
  readonly lookupRule: LookupRuleName;
  readonly mountpoint: string;
}

interface WorkerTask {
  readonly options: ProgramOptions;
  readonly fuseFd: number;
  readonly controlFd: number;
}

const RECORDS_NOTHING: Recorder = {
  init: () => undefined,
  destroy: () => undefined,
  lookup: () => undefined,
  forget: () => undefined,
  openByHandleFailed: () => undefined,
  volume: () => undefined,
};

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function work({ options, fuseFd, controlFd }: WorkerTask): void {
  const native = loadAddon();
  const lookupRule = LOOKUP_RULES[options.lookupRule];
  const tables = new InodeTables(lookupRule);
  const log = (level: string, text: string): void => say(`${level}: ${text}`);
  const fileSystem = createFileSystem(
    { ...options, lookupRule },
    native,
    tables,
    RECORDS_NOTHING,
    log,
  );
  parentPort?.postMessage('ready');
  serve(native, fuseFd, controlFd, fileSystem, say);
  fileSystem.close();
}

function main(options: ProgramOptions): void {
  const mount = mountFuse(loadAddon(), { ...options, allowOther: false }, say);
  const task: WorkerTask = { options, fuseFd: mount.fuseFd, controlFd: mount.controlFd };
  const worker = new Worker(__filename, { workerData: task });
  worker.on('message', () => process.stdout.write('ready\n'));
  worker.on('error', (error) => {
    say(error.message);
    process.exitCode = 1;
  });
  worker.on('exit', () => {
    void mount.unmount().then(() => mount.close());
  });
  process.on('SIGTERM', () => {
    void mount.unmount().then((said) => {
      if (said !== undefined) say(said);
      mount.stop();
    });
  });
}

if (isMainThread) main(JSON.parse(process.argv[2] ?? '') as ProgramOptions);
else work(workerData as WorkerTask);

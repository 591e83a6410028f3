/**
 * The daemons of this host, from the runtime files that they leave (docs/protocol.md): read once, then
 * followed by fs.watch, so that a daemon shows up and goes away by itself.
 */

import type { FSWatcher } from 'node:fs';
import { existsSync, watch } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import type { RuntimeFile } from '../../daemon/protocol/runtimeFile';
import { runtimeFile } from '../../daemon/protocol/runtimeFile';
import type { Log } from './log';
import { messageOf } from './log';
import { processStartTime } from './processTime';
import { Signal } from './signal';

/** Milliseconds between checks that the processes still exist: a killed one leaves its file. */
const ALIVE_CHECK_MS = 5_000;

const FILE_NAME = /^[1-9][0-9]*\.json$/;

/**
 * Where runtime files of interest can be: this user's, with or without a login session, and root's
 * (under sudo they are made for the calling user).
 */
export function runtimeDirectories(environment: NodeJS.ProcessEnv, uid: number): string[] {
  const own = environment['XDG_RUNTIME_DIR'];
  const base = own !== undefined && path.isAbsolute(own) ? own : undefined;
  return [
    base === undefined ? `/tmp/virtiofsd-inspector-${uid}` : path.join(base, 'virtiofsd-inspector'),
    '/run/virtiofsd-inspector',
  ];
}

export class RuntimeFiles {
  /** Fires with the new list whenever it differs from the one before. */
  readonly changed = new Signal<readonly RuntimeFile[]>();

  #files: readonly RuntimeFile[] = [];
  readonly #watchers: FolderWatch[];
  readonly #timer: NodeJS.Timeout;
  #scan: Promise<void> | undefined;
  #asked = false;
  #disposed = false;
  readonly #refused = new Set<string>();

  constructor(
    private readonly directories: readonly string[],
    private readonly log: Log,
  ) {
    this.#watchers = directories.map(
      (directory) => new FolderWatch(directory, () => void this.rescan()),
    );
    this.#timer = setInterval(() => {
      if (this.#files.length > 0) void this.rescan();
    }, ALIVE_CHECK_MS);
    this.#timer.unref();
  }

  get files(): readonly RuntimeFile[] {
    return this.#files;
  }

  /** Reads the directories; calls during a reading share one more reading after it. */
  rescan(): Promise<void> {
    this.#asked = true;
    this.#scan ??= this.#readWhileAsked();
    return this.#scan;
  }

  dispose(): void {
    this.#disposed = true;
    clearInterval(this.#timer);
    for (const watcher of this.#watchers) watcher.dispose();
  }

  async #readWhileAsked(): Promise<void> {
    while (this.#asked && !this.#disposed) {
      this.#asked = false;
      await this.#read();
    }
    this.#scan = undefined;
  }

  async #read(): Promise<void> {
    const found = (
      await Promise.all(this.directories.map((directory) => this.#readFolder(directory)))
    )
      .flat()
      .sort((a, b) => a.pid - b.pid);
    if (this.#disposed || JSON.stringify(found) === JSON.stringify(this.#files)) return;
    this.#files = found;
    this.changed.fire(found);
  }

  async #readFolder(directory: string): Promise<RuntimeFile[]> {
    let names: string[];
    try {
      // In /tmp anybody could have made the folder, to have us talk to a daemon of theirs.
      const { uid } = await stat(directory);
      if (uid !== 0 && uid !== process.getuid?.()) return [];
      names = await readdir(directory);
    } catch {
      // No daemon ran here yet (ENOENT), or the folder is another user's (EACCES).
      return [];
    }
    const files = await Promise.all(
      names
        .filter((name) => FILE_NAME.test(name))
        .map((name) => this.#readFile(path.join(directory, name))),
    );
    return files.filter((file) => file !== undefined);
  }

  async #readFile(file: string): Promise<RuntimeFile | undefined> {
    let parsed: RuntimeFile;
    try {
      parsed = v.parse(runtimeFile, JSON.parse(await readFile(file, 'utf8')));
    } catch (error) {
      // Removed meanwhile, another user's, or not ours to understand: said once, then left alone.
      if (!this.#refused.has(file)) this.log.debug(`Ignored ${file}: ${messageOf(error)}`);
      this.#refused.add(file);
      return undefined;
    }
    this.#refused.delete(file);
    const startTime = await processStartTime(parsed.pid);
    // Left behind by a killed daemon. Not removed here: seen from another pid namespace, a living
    // daemon looks just like this.
    return startTime === parsed.startTime ? parsed : undefined;
  }
}

/** Watches a folder that may come and go: while it is missing, its nearest existing parent. */
class FolderWatch {
  #watcher: FSWatcher | undefined;
  #watched: string | undefined;
  #rearming = false;
  #disposed = false;

  constructor(
    private readonly folder: string,
    private readonly changed: () => void,
  ) {
    this.#arm();
  }

  dispose(): void {
    this.#disposed = true;
    this.#watcher?.close();
  }

  #arm(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    for (let folder = this.folder; !this.#disposed; folder = path.dirname(folder)) {
      try {
        const awaited = path.relative(folder, this.folder).split(path.sep)[0] ?? '';
        this.#watcher = watch(folder, { persistent: false }, (event, name) => {
          this.#notice(event, name, awaited);
        });
        this.#watcher.on('error', () => this.#arm());
        this.#watched = folder;
        // Made between the look and the watch: there will be no event for it.
        if (awaited !== '' && existsSync(path.join(folder, awaited))) this.#rearmOnce();
        return;
      } catch {
        // Not there, or not readable: its parent tells when that changes.
        if (folder === path.dirname(folder)) return;
      }
    }
  }

  /** Not in a loop: a folder that exists but cannot be watched is given up after one more try. */
  #rearmOnce(): void {
    if (this.#rearming) return;
    this.#rearming = true;
    this.#arm();
    this.#rearming = false;
    this.changed();
  }

  #notice(event: string, name: string | null, awaited: string): void {
    if (this.#watched === this.folder) {
      this.changed();
      // The folder itself was removed: the watch is dead although it does not say so.
      if (event === 'rename' && name === path.basename(this.folder)) this.#arm();
    } else if (name === awaited) {
      this.#arm();
      this.changed();
    }
  }
}

/**
 * A runtime file that the user names.
 *
 * @throws Error with a sentence when it is none, or its daemon is gone
 */
export async function readOneRuntimeFile(file: string): Promise<RuntimeFile> {
  let parsed: RuntimeFile;
  try {
    parsed = v.parse(runtimeFile, JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    throw new Error(`${file} is no runtime file: ${messageOf(error)}`);
  }
  if ((await processStartTime(parsed.pid)) === parsed.startTime) return parsed;
  throw new Error(`The daemon of ${file} is gone.`);
}

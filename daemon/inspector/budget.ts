/**
 * What the share costs (protocol/budget.ts), kept beside the model: counted as entries come and go,
 * and completed by what is looked up on the host from time to time.
 */

import type { GrowthSample, MountResource, Resources, Zombies } from '../hazards/resources';
import type {
  BudgetJson,
  DirectoryCostJson,
  GrowthSampleJson,
  MountJson,
  ZombieDirectoryJson,
} from '../protocol/budget';
import { MAX_DIRECTORIES, MAX_MOUNTS } from '../protocol/budget';
import { fsTypeName, isoTime } from '../protocol/eventJson';
import type { Nodeid } from '../tables/identity';
import { NO_NODEID } from '../tables/identity';
import type { VolumeFacts } from '../tables/recorder';
import { errnoName } from './errnoName';
import { GrowthSeries } from './growthSeries';
import { largest } from './largest';
import type { DirectoryCount, LiveModel } from './liveModel';
import type { MountCount } from './mountTally';
import { MountTally } from './mountTally';
import { ZombieBook } from './zombieBook';

const FUSE_SUPER_MAGIC = 0x65735546;
/** Groups of zombies that are judged; the others are smaller. */
const JUDGED_ZOMBIES = 100;

/** What the host says. */
export interface HostFacts {
  readonly time: number;
  /** Descriptors held for the guest. */
  readonly descriptors: number;
  /** Requests that got ENFILE so far. */
  readonly refused: number;
  /** Where each mount is; null when that was not looked at this time. */
  readonly mounts: ReadonlyMap<number, string> | null;
}

export interface MountChange {
  readonly mntId: number;
  readonly mounted: boolean;
  readonly point: string | null;
}

interface Place {
  readonly point: string;
  readonly mounted: boolean;
}

interface Largest {
  readonly byEntries: readonly [Nodeid, DirectoryCount][];
  readonly byDescriptors: readonly [Nodeid, DirectoryCount][];
  readonly structure: number;
  readonly madeAt: number;
  readonly cost: number;
}

export class Budget {
  readonly mounts: MountTally;
  readonly zombies = new ZombieBook();
  readonly growth = new GrowthSeries();
  /** Descriptors held for the guest, and how many it may make the daemon hold. */
  readonly descriptors = { used: 0, limit: 0, reserved: 0 };
  /** When every entry of kind file had been looked at. */
  sweptAt: number | null = null;
  #refused = 0;
  #lastRefused: number | null = null;
  /** Where the mounts with entries are, as far as they have been seen in mountinfo. */
  readonly #places = new Map<number, Place>();
  #largest: Largest | null = null;

  /** @param volumes what the source says of mounts */
  constructor(
    private readonly model: LiveModel,
    private readonly volumes: ReadonlyMap<number, VolumeFacts>,
  ) {
    this.mounts = new MountTally(model.tables);
  }

  /** Takes what the host says; answers which of the mounts with entries came or went. */
  observe(facts: HostFacts): MountChange[] {
    const { time, descriptors, refused } = facts;
    this.descriptors.used = descriptors;
    if (refused !== this.#refused) this.#lastRefused = time;
    this.#refused = refused;
    this.growth.add({
      time,
      entries: this.model.tables.size,
      descriptors,
      forgets: this.model.forgets,
    });
    return facts.mounts === null ? [] : this.#observeMounts(facts.mounts);
  }

  #observeMounts(seen: ReadonlyMap<number, string>): MountChange[] {
    const changes: MountChange[] = [];
    const inPlay = this.mounts.all();
    for (const { mntId, refused } of inPlay) {
      const before = this.#places.get(mntId);
      const point = seen.get(mntId);
      if (point !== undefined) {
        this.#places.set(mntId, { point, mounted: true });
        if (before?.mounted === false) changes.push({ mntId, mounted: true, point });
      } else if (before?.mounted === true) {
        this.#places.set(mntId, { point: before.point, mounted: false });
        changes.push({ mntId, mounted: false, point: before.point });
        if (refused !== null) this.mounts.forgetRefusal(mntId);
      }
    }
    const known = new Set(inPlay.map(({ mntId }) => mntId));
    for (const mntId of this.#places.keys()) if (!known.has(mntId)) this.#places.delete(mntId);
    return changes;
  }

  /** For the hazards. */
  resources(time: number): Resources {
    const { used, limit } = this.descriptors;
    return {
      time,
      mounts: this.mounts.all().map((count) => this.#mountResource(count)),
      twins: this.mounts.twins(),
      descriptors: { used, limit, refused: this.#refused, lastRefused: this.#lastRefused },
      zombies: this.#zombies(JUDGED_ZOMBIES),
      growth: this.growth.hour,
    };
  }

  clear(): void {
    this.mounts.clear();
    this.zombies.clear();
    this.sweptAt = null;
    this.#largest = null;
  }

  json(): BudgetJson {
    const { model, descriptors } = this;
    const mounts = this.mounts.all();
    const entries = model.tables.entriesOfKind('file');
    const zombies = this.#zombies(MAX_DIRECTORIES);
    const { byEntries, byDescriptors } = this.#largestDirectories();
    return {
      seq: String(model.nextSeq - 1),
      time: isoTime(Date.now()),
      mounts: mounts.slice(0, MAX_MOUNTS).map((count) => this.#mountJson(count)),
      moreMounts: Math.max(0, mounts.length - MAX_MOUNTS),
      descriptors: {
        ...descriptors,
        entries,
        // The two are read at different moments.
        openFiles: Math.max(0, descriptors.used - entries),
        mounts: mounts.filter(({ handle }) => handle > 0).length,
        refused: this.#refused,
        lastRefused: this.#lastRefused === null ? null : isoTime(this.#lastRefused),
      },
      zombies: {
        count: this.zombies.count,
        bytes: String(this.zombies.bytes),
        directories: zombies.map(zombieJson),
        moreDirectories: this.zombies.directories - zombies.length,
        sweptAt: this.sweptAt === null ? null : isoTime(this.sweptAt),
      },
      directories: {
        byEntries: byEntries.map((of) => this.#directoryJson(of)),
        byDescriptors: byDescriptors.map((of) => this.#directoryJson(of)),
        total: model.directories.size,
      },
      growth: {
        minute: this.growth.minute.map(sampleJson),
        hour: this.growth.hour.map(sampleJson),
      },
    };
  }

  #zombies(most: number): Zombies[] {
    return this.zombies.largest(most, (directory) =>
      directory === NO_NODEID ? null : this.model.path(directory),
    );
  }

  #mountResource({ mntId, file, handle, refused }: MountCount): MountResource {
    const place = this.#places.get(mntId);
    return {
      mntId,
      point: place?.point ?? null,
      mounted: place?.mounted ?? null,
      files: file,
      handles: handle,
      refused,
    };
  }

  #mountJson(count: MountCount): MountJson {
    const { mntId, file, handle, invalid, refused } = count;
    const facts = this.volumes.get(mntId);
    const unique = facts?.mntIdUnique ?? null;
    const place = this.#places.get(mntId);
    return {
      mntId: String(mntId),
      mntIdUnique: unique === null ? null : String(unique),
      fsType: facts === undefined ? null : fsTypeName(facts.fsType),
      point: place?.point ?? null,
      mounted: place?.mounted ?? null,
      handles: this.#handleSupport(count, facts),
      refused: refused === null ? null : errnoName(refused.errno),
      entries: { file, handle, invalid },
      descriptors: file + (handle > 0 ? 1 : 0),
      twins: this.mounts.twins().flatMap(({ low, high, pairs }) => {
        if (mntId !== low && mntId !== high) return [];
        return { mntId: String(mntId === low ? high : low), pairs };
      }),
    };
  }

  #handleSupport(count: MountCount, facts: VolumeFacts | undefined): MountJson['handles'] {
    if (this.model.target.inodeFileHandles.effective === 'never') return 'off';
    if (count.refused !== null) return 'not_openable';
    if (count.handle > 0) return facts?.fsType === FUSE_SUPER_MAGIC ? 'volatile' : 'yes';
    return count.file > 0 ? 'no' : 'unknown';
  }

  #directoryJson([nodeid, { all, files }]: [Nodeid, DirectoryCount]): DirectoryCostJson {
    const path = this.model.path(nodeid);
    return { nodeid: String(nodeid), path, entries: all, descriptors: files };
  }

  /** Walks the directories, not the entries; and seldom, where there are very many of them. */
  #largestDirectories(): Largest {
    const { directories, structure } = this.model;
    const now = performance.now();
    const old = this.#largest;
    if (old !== null && (old.structure === structure || now - old.madeAt < old.cost * 50)) {
      return old;
    }
    const byEntries = largest(directories, MAX_DIRECTORIES, ([, { all }]) => all);
    const byDescriptors = largest(directories, MAX_DIRECTORIES, ([, { files }]) => files);
    const cost = performance.now() - now;
    this.#largest = { byEntries, byDescriptors, structure, madeAt: now, cost };
    return this.#largest;
  }
}

function zombieJson({ directory, path, count, bytes }: Zombies): ZombieDirectoryJson {
  const nodeid = directory === NO_NODEID ? null : String(directory);
  return { nodeid, path, count, bytes: String(bytes) };
}

function sampleJson({ time, ...numbers }: GrowthSample): GrowthSampleJson {
  return { time: isoTime(time), ...numbers };
}

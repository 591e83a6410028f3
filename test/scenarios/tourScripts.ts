/**
 * The tours: scenarios of the catalogue and of the design discussion of 2021 (QEMU's list, June to
 * October: “virtiofsd: Allow using file handles instead of O_PATH FDs”), played on the real daemon
 * and told step by step. What is told here with the values of a run is what is shipped with it.
 */

import * as fs from 'node:fs';
import type { HandleMode } from '../../daemon/protocol/json';
import type { TourStep } from '../../daemon/protocol/tour';
import type { LookupRuleName } from '../../daemon/tables/lookupRule';
import type { Daemon, FileSystemName, HostFile } from './share';
import { errnoOf, generation, hostFile, run } from './share';

export interface TourScript {
  readonly name: string;
  readonly title: string;
  readonly summary: string;
  readonly fileSystem: FileSystemName;
  readonly handles: HandleMode;
  readonly lookupRule?: LookupRuleName;
  play(stage: Stage): Promise<void>;
}

/** What a script does with the daemon, and tells about it. */
export interface Stage {
  readonly daemon: Daemon;
  /** Makes name_to_handle_at fail for a name: once, or until it is called again. */
  readonly fail: (name: string, errno: string, when: 'next' | 'every') => Promise<void>;
  readonly stopFailing: () => Promise<void>;
  /** Ends a step, when these hazards have been reported (`-H1`: closed). */
  readonly tell: (step: Told) => Promise<void>;
}

export interface Told extends Pick<TourStep, 'title' | 'text'> {
  readonly nodeids?: readonly number[];
  readonly hazards?: readonly string[];
  /** Hazards that are over now. */
  readonly closed?: readonly string[];
}

const idsText = ({ ids }: HostFile) => `${ids.ino}/${ids.dev}/${ids.mntId}`;
const same = (is: unknown, wanted: unknown, what: string) => {
  if (is !== wanted) throw new Error(`${what}: ${String(is)}, not ${String(wanted)}.`);
};

/** The text of a file in the guest, or the errno of the attempt. */
function read(path: string): string {
  let text = '';
  const errno = errnoOf(() => (text = fs.readFileSync(path, 'utf8')));
  return errno ?? `“${text}”`;
}

/**
 * Removes a file on the host and makes another; ext4 gives it the same number at once. In between
 * the guest drops the name: a name that changes its node under the kernel is looked up twice, and
 * whether the first of the two nodes is forgotten before the second lookup is a matter of luck.
 */
async function replace(
  daemon: Daemon,
  name: string,
  content: string,
): Promise<{ before: HostFile; after: HostFile }> {
  const file = daemon.host(name);
  const before = hostFile(file);
  fs.rmSync(file);
  same((await daemon.lookup(name)).errno, 'ENOENT', 'The name of the deleted file');
  fs.writeFileSync(file, content);
  return { before, after: hostFile(file) };
}

/** Writes beside the file and renames over it, as editors do. */
function save(file: string, content: string): HostFile {
  fs.writeFileSync(`${file}.new`, content);
  fs.renameSync(`${file}.new`, file);
  return hostFile(file);
}

const reuse: TourScript = {
  name: 'S1',
  title: 'A number comes back',
  summary:
    'ext4 gives the inode number of a deleted file to the next one; the handle tells them apart.',
  fileSystem: 'ext4',
  handles: 'mandatory',
  async play({ daemon, tell }) {
    const file = daemon.host('f');
    fs.writeFileSync(file, 'OLD');
    await tell({
      title: 'Before the first lookup',
      text:
        'The daemon remembers every file that the guest has looked up, in two tables. On the left ' +
        'inodes_by_ids: inode number, device, mount. On the right inodes_by_handle: the kernel’s file ' +
        'handle. In the middle the entries. So far there is only the root, node 1.',
      nodeids: [1],
    });
    const old = await daemon.hold('f');
    await tell({
      title: 'The guest looks f up',
      text:
        `Neither table knows the file, so node 2 is made. Both keys lead to it: ${idsText(hostFile(file))} ` +
        'and its handle. A healthy entry is one straight line.',
      nodeids: [2],
    });
    const { before, after } = await replace(daemon, 'f', 'NEW');
    same(after.ids.ino, before.ids.ino, 'The number of the new file');
    await daemon.hold('f');
    await tell({
      title: 'The host deletes f and makes another f',
      text:
        `The new file has the number ${after.ids.ino} again: its key is the one of node 2. But the ` +
        `generation in the handle went from ${generation(before, 'ext4')} to ${generation(after, 'ext4')}, ` +
        'inodes_by_handle does not know it, and the daemon makes node 3. The key in inodes_by_ids now leads ' +
        'to node 3; node 2 keeps a ghost of it. Nothing is wrong: the reuse was caught.',
      nodeids: [3, 2],
      hazards: ['H1', 'H2', 'H7'],
    });
    same(read(daemon.guest('f')), '“NEW”', 'The new file');
    same(read(old.path), 'ESTALE', 'The old file');
    await tell({
      title: 'A program still has the old f',
      text:
        'Reading f gives “NEW”. A program that still holds the old f gets ESTALE: its file is gone, and ' +
        'node 2 has only a handle, which opens nothing any more. An error the guest sees, and the right one.',
      nodeids: [2],
      hazards: ['H2'],
    });
    await old.release();
    await daemon.lookup('f');
    await tell({
      title: 'The guest forgets node 2',
      text:
        'Removing node 2 removes its ids key without asking who owns it by now: node 3 loses it. That costs ' +
        'nothing, because node 3 is found by its handle, as the last lookup shows.',
      nodeids: [3],
      hazards: ['H8'],
      closed: ['H1', 'H2', 'H7'],
    });
  },
};

const seed: TourScript = {
  name: 'S2',
  title: 'One file, two nodes',
  summary: 'One failure of name_to_handle_at gives a file with two names two node ids.',
  fileSystem: 'ext4',
  handles: 'prefer',
  async play({ daemon, fail, tell }) {
    fs.writeFileSync(daemon.host('foo'), 'content');
    fs.linkSync(daemon.host('foo'), daemon.host('foo-link'));
    const { ids } = hostFile(daemon.host('foo'));
    await daemon.hold('foo');
    await tell({
      title: 'A file with two names',
      text:
        `foo and foo-link are one file, inode ${ids.ino}, with two hard links. The guest has looked up foo: ` +
        'node 2, with a handle.',
      nodeids: [2],
    });
    await fail('foo-link', 'EOPNOTSUPP', 'next');
    const link = await daemon.hold('foo-link');
    await tell({
      title: 'No handle for foo-link, this once',
      text:
        'name_to_handle_at fails with EOPNOTSUPP, so the daemon goes on without a handle. inodes_by_ids ' +
        'leads to node 2, but that one holds no descriptor: its number might have been reused. It is not ' +
        'believed, and node 3 is made for the same file. In the guest it now has two page caches and two ' +
        'sets of locks.',
      nodeids: [3, 2],
      hazards: ['H4', 'H5', 'H7'],
    });
    await daemon.unlearn('foo-link');
    await daemon.lookup('foo-link');
    await tell({
      title: 'Handles work again: the name flips',
      text:
        'The guest drops foo-link and looks it up again. With the handle in hand, inodes_by_handle says ' +
        'node 2; inodes_by_ids still says node 3. The tables disagree, the handle wins, and the name has ' +
        'changed its node though the file is the same.',
      nodeids: [2, 3],
      hazards: ['H6', 'H10'],
    });
    await link.release();
    await tell({
      title: 'Node 3 is forgotten',
      text:
        'With the last user of node 3 the duplicate ends, and with it everything that was wrong. In a log ' +
        'there would be one line, about a file system that does not support handles. It does.',
      nodeids: [2],
      closed: ['H4', 'H5', 'H6', 'H10'],
    });
  },
};

const benign: TourScript = {
  name: 'S3',
  title: 'A fallback that is right',
  summary: 'First without a handle, then with one: the open descriptor pins the number.',
  fileSystem: 'ext4',
  handles: 'prefer',
  async play({ daemon, fail, tell }) {
    fs.writeFileSync(daemon.host('f'), 'content');
    await fail('f', 'EOPNOTSUPP', 'next');
    const held = await daemon.hold('f');
    await tell({
      title: 'The first lookup gets no handle',
      text:
        'name_to_handle_at fails once. Node 2 is made with an open O_PATH descriptor instead of a handle, ' +
        'and only inodes_by_ids leads to it.',
      nodeids: [2],
      hazards: ['H4'],
    });
    await daemon.lookup('f');
    await tell({
      title: 'The second one does',
      text:
        'inodes_by_handle does not know the handle. inodes_by_ids leads to node 2, which holds its file ' +
        'open: a file that is open keeps its number on ext4, so equal ids mean the same file. The fallback is ' +
        'right, and a probe of the descriptor says so.',
      nodeids: [2],
      hazards: ['H3'],
    });
    await daemon.unlearn('f');
    await held.release();
    await tell({
      title: 'And it is over',
      text:
        'The guest forgets node 2 and its descriptor is closed. The entry had stayed as it was made: it never ' +
        'got its handle.',
      closed: ['H3', 'H4'],
    });
  },
};

const stolenAndLost: TourScript = {
  name: 'S4',
  title: 'Stolen, lost, found twice',
  summary:
    'Handles fail from the second lookup on: one forgotten node takes the key of a living one.',
  fileSystem: 'ext4',
  handles: 'prefer',
  async play({ daemon, fail, tell }) {
    const file = daemon.host('v');
    fs.writeFileSync(file, 'OLD');
    const old = await daemon.hold('v');
    await tell({
      title: 'The guest looks v up',
      text: 'Node 2, with a handle. From here on, name_to_handle_at will fail for v with EOPNOTSUPP.',
      nodeids: [2],
    });
    await fail('v', 'EOPNOTSUPP', 'every');
    const { before, after } = await replace(daemon, 'v', 'NEW');
    same(after.ids.ino, before.ids.ino, 'The number of the new file');
    const third = await daemon.hold('v');
    await tell({
      title: 'The host replaces v: the key is stolen',
      text:
        `The new file has number ${after.ids.ino} again, and there is no handle to tell it from the old one. ` +
        'Node 2 holds no descriptor, so it is not believed; node 3 is made and overwrites the key. The victim ' +
        'is found by its handle, so that nothing is lost yet.',
      nodeids: [3, 2],
      hazards: ['H7', 'H2'],
    });
    await old.release();
    await tell({
      title: 'Node 2 is forgotten: the key is lost',
      text:
        'Removing node 2 removes “its” ids key, which is the key of node 3 by now. Node 3 lives on with a ' +
        'descriptor and without any key: no lookup can find it.',
      nodeids: [3],
      hazards: ['H8'],
      closed: ['H7'],
    });
    await daemon.unlearn('v');
    const fourth = await daemon.hold('v');
    same(fourth.nodeid, '4', 'The node of the next lookup');
    await tell({
      title: 'The next lookup makes a duplicate',
      text:
        'Neither table knows v, so node 4 is made for the file that node 3 holds. Both read “NEW”: two nodes, ' +
        'but no wrong data.',
      nodeids: [4, 3],
      hazards: ['H5'],
    });
    await third.release();
    await tell({
      title: 'And again',
      text: 'Forgetting node 3 takes the key of node 4 along. The next lookup would make node 5.',
      nodeids: [4],
      hazards: ['H8'],
      closed: ['H5'],
    });
  },
};

/** Makes subvolumes until the kernel gives one the device number that a deleted one had. */
function subvolumeWithDevice(daemon: Daemon, name: string, dev: string): HostFile {
  for (let attempt = 0; attempt < 200; attempt++) {
    const folder = daemon.host(`.try-${attempt}`);
    run('btrfs', ['subvolume', 'create', folder]);
    if (hostFile(folder).ids.dev !== dev) continue;
    fs.writeFileSync(`${folder}/f`, 'NEW-PROJECT');
    fs.renameSync(folder, daemon.host(name));
    return hostFile(daemon.host(`${name}/f`));
  }
  throw new Error(`No subvolume got the device number ${dev}.`);
}

const unpinned: TourScript = {
  name: 'S5',
  title: 'Wrong data: a descriptor that pins nothing',
  summary:
    'On btrfs an open descriptor does not keep a subvolume’s device number: the guest reads a deleted file.',
  fileSystem: 'btrfs',
  handles: 'never',
  async play({ daemon, tell }) {
    run('btrfs', ['subvolume', 'create', daemon.host('t1')]);
    fs.writeFileSync(daemon.host('t1/f'), 'OLD-PROJECT');
    const before = hostFile(daemon.host('t1/f'));
    await daemon.hold('t1');
    await daemon.hold('t1/f');
    same(read(daemon.guest('t1/f')), '“OLD-PROJECT”', 'The old file');
    await tell({
      title: 'A file in a subvolume',
      text:
        'File handles are off, as they were by default up to virtiofsd 1.13.2. Node 2 is the subvolume t1, ' +
        `node 3 its file f with the ids ${idsText(before)}; both hold a descriptor. The guest reads ` +
        '“OLD-PROJECT”. Every subvolume’s root is inode 256 and its first file 257.',
      nodeids: [3, 2],
    });
    // Else the guest's kernel would look f up twice later on (see replace).
    await daemon.unlearn('t1/f');
    run('btrfs', ['subvolume', 'delete', '-C', daemon.host('t1')]);
    const after = subvolumeWithDevice(daemon, 't2', before.ids.dev);
    same(idsText(after), idsText(before), 'The ids of the new file');
    const { nodeid } = await daemon.lookup('t2');
    same(nodeid, '2', 'The node of t2');
    await tell({
      title: 'The host deletes t1 and makes t2',
      text:
        `The new subvolume gets the device number ${after.ids.dev} again, so t2 has the very ids of t1. Node 2 ` +
        'holds a descriptor and is believed: the name t2 is answered with the deleted t1. In the tables this ' +
        'is a clean hit. Only a probe of the descriptor shows that it is another file.',
      nodeids: [2],
      hazards: ['H11'],
    });
    const dead = await daemon.hold('t2/f');
    same(dead.nodeid, '4', 'The node of t2/f');
    same(read(daemon.guest('t2/f')), '“OLD-PROJECT”', 'What the guest reads');
    await tell({
      title: 'The guest reads the deleted file',
      text:
        'Node 2 still holds the directory that was deleted, and f is looked up in there anew: node 4, the old f, ' +
        'whose device number is 0:0 by now. t2/f contains “NEW-PROJECT”; the guest asks for it and reads ' +
        '“OLD-PROJECT”: wrong data, and no error anywhere. With handles (prefer or mandatory) t2 would have ' +
        'got a node of its own.',
      nodeids: [4, 2],
      hazards: ['H11'],
    });
  },
};

const saves: TourScript = {
  name: 'S13',
  title: 'Two saves and a lost key',
  summary: 'An editor saves twice; nothing fails, and yet a living entry loses a key.',
  fileSystem: 'ext4',
  handles: 'mandatory',
  async play({ daemon, tell }) {
    const doc = daemon.host('doc');
    fs.writeFileSync(doc, 'zero');
    const first = hostFile(doc);
    const old = await daemon.hold('doc');
    await tell({
      title: 'A document',
      text: `doc is inode ${first.ids.ino}, node 2. A program in the guest keeps it.`,
      nodeids: [2],
    });
    const second = save(doc, 'one');
    await daemon.unlearn('doc');
    await daemon.hold('doc');
    await tell({
      title: 'First save',
      text:
        'The editor on the host writes another file and renames it over doc: another number, ' +
        `${second.ids.ino}, another node, 3. The file of node 2 is gone and its number is free.`,
      nodeids: [3],
    });
    const third = save(doc, 'two');
    same(third.ids.ino, first.ids.ino, 'The number of the second save');
    await daemon.unlearn('doc');
    await daemon.hold('doc');
    await tell({
      title: 'Second save',
      text:
        `ext4 gives number ${third.ids.ino} away again. The handle is new, so node 4 is made, and the key ` +
        `${idsText(third)} goes from node 2 to node 4.`,
      nodeids: [4, 2],
      hazards: ['H1', 'H7', 'H2'],
    });
    await old.release();
    await tell({
      title: 'Node 2 is forgotten',
      text:
        'Removing node 2 removes the key of node 4, which lives. If node 4 held a descriptor and no handle, ' +
        'the next lookup would make a duplicate of it (tour S4).',
      nodeids: [4],
      hazards: ['H8'],
      closed: ['H1', 'H7'],
    });
    await daemon.unlearn('doc');
    await daemon.lookup('doc');
    await tell({
      title: 'The guest notices nothing',
      text: 'The lookup finds node 4 by its handle. This happens all day on ext4, and is information.',
      nodeids: [4],
    });
  },
};

const scenarioA: TourScript = {
  name: 'A',
  title: 'Scenario A of 2021: a number is believed',
  summary:
    'Vivek Goyal’s objection to the second version of the patches, under the rule of that version.',
  fileSystem: 'ext4',
  handles: 'prefer',
  lookupRule: 'v2',
  async play({ daemon, fail, stopFailing, tell }) {
    const file = daemon.host('f');
    fs.writeFileSync(file, 'OLD');
    const old = await daemon.hold('f');
    await tell({
      title: 'The first lookup gets a handle',
      text:
        'This daemon uses the lookup rule of the second version of the patches (June 2021): an entry found by ' +
        'its ids is refused only if it and the file asked for both have a handle. Node 2 has one.',
      nodeids: [2],
    });
    await fail('f', 'EOPNOTSUPP', 'every');
    const { before, after } = await replace(daemon, 'f', 'NEW');
    same(after.ids.ino, before.ids.ino, 'The number of the new file');
    const { nodeid } = await daemon.lookup('f');
    same(nodeid, '2', 'The node of the second lookup');
    await tell({
      title: 'The file is replaced, and the second lookup gets none',
      text:
        `The new f has number ${after.ids.ino} again, and no handle can be made for it. inodes_by_ids leads to ` +
        'node 2. One side has no handle, so v2 believes the number: the new file is answered with the node of ' +
        'the deleted one.',
      nodeids: [2],
      hazards: ['H13', 'H4'],
    });
    same(read(daemon.guest('f')), 'ESTALE', 'What the guest reads');
    await tell({
      title: 'The guest opens f',
      text:
        'Node 2 holds the handle of the deleted file, and opening it gives ESTALE, though f is there on the ' +
        'host. An implementation that had kept the file reachable would have read “OLD”.',
      nodeids: [2],
      hazards: ['H2'],
    });
    await stopFailing();
    await daemon.unlearn('f');
    await daemon.hold('f');
    same(read(daemon.guest('f')), '“NEW”', 'What the guest reads in the end');
    await tell({
      title: 'What was concluded',
      text:
        'With a handle in hand the lookup makes node 3 and the guest reads “NEW”. Since the third version an ' +
        'entry found by its ids counts only if it holds an open descriptor (virtiofsd’s rule, handle-then-fd): ' +
        'then the second lookup would have made node 3 at once, as in tour S4.',
      nodeids: [3, 2],
      hazards: ['H1'],
    });
    same(read(old.path), 'ESTALE', 'The old file');
  },
};

const scenarioB: TourScript = {
  name: 'B',
  title: 'Scenario B of 2021: why the ids are asked at all',
  summary:
    'First no handle, then one: without inodes_by_ids every such file would get a second node.',
  fileSystem: 'ext4',
  handles: 'prefer',
  async play({ daemon, fail, tell }) {
    const file = daemon.host('f');
    fs.writeFileSync(file, 'one');
    await fail('f', 'EOPNOTSUPP', 'next');
    const held = await daemon.hold('f');
    await tell({
      title: 'No handle at first',
      text:
        'In 2021 the cause that was named: the first inode met on a mount is a device node, which must not be ' +
        'opened, so there is no mount descriptor yet. Node 2 holds an O_PATH descriptor.',
      nodeids: [2],
    });
    await daemon.lookup('f');
    await tell({
      title: 'A handle later',
      text:
        'inodes_by_handle misses. Were that the last word, f would get a second node. inodes_by_ids leads to ' +
        'node 2, and the descriptor pins the number: the hit is safe.',
      nodeids: [2],
      hazards: ['H3'],
    });
    const before = hostFile(file);
    const { after } = await replace(daemon, 'f', 'two');
    if (after.ids.ino === before.ids.ino) throw new Error('The number was not pinned.');
    await daemon.hold('f');
    await tell({
      title: 'What pinning means',
      text:
        `The host replaces f. Number ${before.ids.ino} stays taken as long as node 2 holds its file open; the ` +
        `new one gets ${after.ids.ino}, and a node of its own. (Not so on btrfs across subvolumes: tour S5.)`,
      nodeids: [3, 2],
    });
    await held.release();
    await tell({
      title: 'Node 2 is forgotten',
      text: 'Its descriptor is closed and its number is free again. Nobody’s key went with it.',
      nodeids: [3],
      closed: ['H3'],
    });
  },
};

const scenarioC: TourScript = {
  name: 'C',
  title: 'Scenario C of 2021: a hard link and ENOMEM',
  summary:
    'May a temporary failure make a second node? The argument of the fourth version, and its outcome.',
  fileSystem: 'ext4',
  handles: 'prefer',
  async play({ daemon, fail, tell }) {
    fs.writeFileSync(daemon.host('foo.txt'), 'content');
    fs.linkSync(daemon.host('foo.txt'), daemon.host('foo-link.txt'));
    await daemon.hold('foo.txt');
    await tell({
      title: 'foo.txt has a handle',
      text: 'foo.txt and foo-link.txt are one file. The guest has looked up the first: node 2.',
      nodeids: [2],
    });
    await fail('foo-link.txt', 'ENOMEM', 'next');
    const refused = await daemon.lookup('foo-link.txt');
    same(refused.errno, 'ENOMEM', 'The first attempt');
    await tell({
      title: 'ENOMEM: the guest is told',
      text:
        'name_to_handle_at allocates memory and can fail. Max Reitz held that with ENOMEM we will not live long ' +
        'anyway; Vivek Goyal that another process may be killed and we live on. Since October 2021 such an ' +
        'error goes to the guest, and no node is made.',
      hazards: ['H22'],
    });
    await daemon.lookup('foo-link.txt');
    await tell({
      title: 'The retry finds node 2',
      text: 'The next attempt has a handle, inodes_by_handle knows it, and all is well.',
      nodeids: [2],
      closed: ['H22'],
    });
    await daemon.unlearn('foo-link.txt');
    await fail('foo-link.txt', 'EOPNOTSUPP', 'next');
    const link = await daemon.hold('foo-link.txt');
    await tell({
      title: 'EOPNOTSUPP: what was feared',
      text:
        'EOPNOTSUPP and EOVERFLOW still mean “no handle here”, for there are file systems that have none. Where ' +
        'others of that mount have one, a file gets two nodes: one by handle, one with a descriptor.',
      nodeids: [3, 2],
      hazards: ['H4', 'H5', 'H7'],
    });
    await daemon.unlearn('foo-link.txt');
    await daemon.lookup('foo-link.txt');
    await tell({
      title: '“The guest drops the dentry and looks again”',
      text:
        'That was the answer of 2021, and for a plain mount it holds: the name goes back to node 2. Below an ' +
        'overlayfs in the guest it does not; there a name that changes its node is ESTALE until it is evicted.',
      nodeids: [2, 3],
      hazards: ['H6', 'H10'],
    });
    await link.release();
    await tell({
      title: 'Node 3 is forgotten',
      text: 'The duplicate is over.',
      nodeids: [2],
      closed: ['H5', 'H6', 'H10'],
    });
  },
};

export const TOUR_SCRIPTS: readonly TourScript[] = [
  reuse,
  seed,
  benign,
  stolenAndLost,
  unpinned,
  saves,
  scenarioA,
  scenarioB,
  scenarioC,
];

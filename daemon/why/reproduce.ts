/** Shell commands that make the same happen, or look at the same file from both sides. */

import type { Target } from '../protocol/json';
import type { LookupRuleName } from '../tables/lookupRule';

export type Scene =
  /** The same inode number for another file. */
  | { readonly kind: 'reuse'; readonly rule: LookupRuleName }
  /** One file under two node ids, because a handle failed. */
  | { readonly kind: 'handle_fails'; readonly rule: LookupRuleName; readonly errno: string }
  /** A directory that the guest stands in, removed on the host. */
  | { readonly kind: 'stale' }
  | { readonly kind: 'too_many_files' }
  /** This very file, looked at on the host and through the daemon. */
  | { readonly kind: 'look'; readonly target: Target; readonly path: string | null };

export function reproduction(scene: Scene): string {
  switch (scene.kind) {
    case 'reuse':
      return inNewShare(
        `--inode-file-handles mandatory --cache never --lookup-rule ${scene.rule}`,
        [
          'echo old > share/f; stat guest/f               # node 2',
          'rm share/f; echo new > share/f                 # ext4 gives the number away at once',
          'stat guest/f                                   # node 3: the handle is another',
          'virtiofsd-inspector why $! 3',
        ],
      );
    case 'handle_fails':
      return inNewShare(`--inode-file-handles prefer --lookup-rule ${scene.rule}`, [
        'daemon=$!',
        'echo text > share/foo; ln share/foo share/foo-link',
        'stat guest/foo                                 # node 2',
        `virtiofsd-inspector inject $daemon name_to_handle_at=${scene.errno}@foo-link 2> armed &`,
        'until grep -q Armed armed; do sleep 0.1; done',
        'stat guest/foo-link; kill $!                   # node 3, without a handle',
        'virtiofsd-inspector why $daemon 3',
      ]);
    case 'stale':
      return inNewShare('--inode-file-handles mandatory', [
        'mkdir share/d',
        '(cd guest/d && rmdir ../../share/d && ls)      # Stale file handle',
        'virtiofsd-inspector why $! ESTALE',
      ]);
    case 'too_many_files':
      return inNewShare('--inode-file-handles never --rlimit-nofile 700', [
        'touch share/{1..200}; stat guest/* > /dev/null # Too many open files in system',
        'virtiofsd-inspector why $! ENFILE',
      ]);
    case 'look':
      return look(scene.target, scene.path);
  }
}

function inNewShare(options: string, lines: readonly string[]): string {
  return [
    '# As root, in bash, on a host with /dev/fuse and ext4; all of it in a new folder.',
    'cd "$(mktemp -d)" && mkdir share guest && truncate -s 64M disk',
    'mkfs.ext4 -q disk && mount -o loop disk share',
    `virtiofsd-inspector serve --shared-dir share --mount guest ${options} &`,
    'until mountpoint -q guest; do sleep 0.1; done',
    ...lines,
    '# Afterwards: umount guest share',
  ].join('\n');
}

function look({ pid, sharedDir, transport }: Target, path: string | null): string {
  if (path === null) {
    return [
      '# What the daemon knows, and what happens from now on:',
      `virtiofsd-inspector snapshot ${pid}`,
      `virtiofsd-inspector events ${pid}`,
    ].join('\n');
  }
  const host = shellWord(`${sharedDir}/${path}`);
  const mounted = /^\/dev\/fuse on (.+)$/.exec(transport)?.[1];
  const guest =
    mounted === undefined
      ? [`cd MOUNT # in the guest, where the share is mounted`, `stat -- ${shellWord(path)}`]
      : [`stat -- ${shellWord(`${mounted}/${path}`)}`];
  return [
    '# On the host: what a lookup of it finds.',
    `stat --format='inode %i, device %Hd:%Ld, %h links, born %w' -- ${host}`,
    '# Through the daemon: look it up again, and ask how that was answered.',
    ...guest,
    `virtiofsd-inspector why ${pid} ${shellWord(path)}`,
  ].join('\n');
}

/** One word for bash. Names come as they are shown: other bytes as `\xNN`, a backslash doubled. */
export function shellWord(text: string): string {
  if (/^[\w./:@%+][\w./:@%+-]*$/.test(text)) return text;
  if (!/[\p{Cc}\\]/u.test(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const word = text
    .replaceAll("'", "\\'")
    .replaceAll(/\p{Cc}/gu, (letter) => `\\x${letter.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return `$'${word}'`;
}

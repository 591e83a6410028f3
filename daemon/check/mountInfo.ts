/**
 * /proc/self/mountinfo (proc(5)). Paths are kept as the kernel's bytes, one character each
 * (latin1): a path need not be UTF-8.
 */

export interface Mount {
  readonly mntId: number;
  readonly parentId: number;
  /** `major:minor` of the file system; files may report others (btrfs subvolumes, overlays). */
  readonly device: string;
  /** Bytes, escapes decoded. */
  readonly point: string;
  /** Bytes as the kernel wrote them. */
  readonly pointEscaped: string;
  readonly type: string;
  readonly source: string;
  readonly readOnly: boolean;
  /** Options of the file system. */
  readonly options: ReadonlySet<string>;
}

/** @param text the file's content, decoded as latin1 */
export function parseMountInfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    // After six fixed fields come optional ones, up to a lone hyphen.
    const end = fields.indexOf('-', 6);
    const [id, parent, device, , escaped, own] = fields;
    const [type, source, options] = fields.slice(end + 1);
    if (end < 0 || escaped === undefined || own === undefined || device === undefined) return [];
    const ofFileSystem = new Set((options ?? '').split(','));
    return {
      mntId: Number(id),
      parentId: Number(parent),
      device,
      point: decodeOctal(escaped),
      pointEscaped: escaped,
      type: type ?? '',
      source: decodeOctal(source ?? ''),
      readOnly: own.split(',').includes('ro') || ofFileSystem.has('ro'),
      options: ofFileSystem,
    };
  });
}

/** Space, tab, newline and backslash are written as \ooo (mangle() in fs/seq_file.c). */
function decodeOctal(escaped: string): string {
  return escaped.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) =>
    String.fromCharCode(parseInt(digits, 8)),
  );
}

export function hasEscapes(escaped: string): boolean {
  return /\\[0-3][0-7]{2}/.test(escaped);
}

/** The mounts below a directory, not its own. @param directory an absolute real path, as bytes */
export function mountsBelow(mounts: readonly Mount[], directory: string): Mount[] {
  const prefix = directory === '/' ? '/' : `${directory}/`;
  return mounts.filter(({ point }) => point.startsWith(prefix) && point !== '/');
}

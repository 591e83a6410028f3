/** What is known of file systems by their type in mountinfo. */

/** The kernel's own: no files of anybody, and nothing to be tried in. */
const KERNELS_OWN = new Set([
  'autofs',
  'binfmt_misc',
  'bpf',
  'cgroup',
  'cgroup2',
  'configfs',
  'debugfs',
  'devpts',
  'devtmpfs',
  'efivarfs',
  'fusectl',
  'hugetlbfs',
  'mqueue',
  'nsfs',
  'proc',
  'pstore',
  'rpc_pipefs',
  'securityfs',
  'selinuxfs',
  'sysfs',
  'tracefs',
]);

/** Images that are built once: their inodes have no generation, so a handle carries 0. */
const IMAGES = new Set(['squashfs', 'erofs', 'cramfs', 'romfs', 'iso9660']);

export function isKernelsOwn(type: string): boolean {
  return KERNELS_OWN.has(type);
}

export function isImage(type: string): boolean {
  return IMAGES.has(type);
}

/** virtiofs is FUSE over virtio: a guest that shares what was shared with it. */
export function isFuse(type: string): boolean {
  return type === 'virtiofs' || type === 'fuse' || type === 'fuseblk' || type.startsWith('fuse.');
}

export function isNfs(type: string): boolean {
  return type === 'nfs' || type === 'nfs4';
}

/** A server elsewhere answers, perhaps slowly or not at all. */
export function isRemote(type: string): boolean {
  return isNfs(type) || ['9p', 'afs', 'ceph', 'cifs', 'smb3'].includes(type);
}

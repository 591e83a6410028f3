/** Which cases run with which options. */

import type { Group } from '../compare';
import { attributeCases } from './attributes';
import { dataCases } from './data';
import { directoryCases } from './directories';
import { nameCases } from './names';
import { aclCases, killprivCases, labelCases, translationCases } from './options';
import { malformedCases, protocolCases } from './protocol';
import { xattrCases } from './xattrs';

const plain = [
  ...nameCases,
  ...dataCases,
  ...attributeCases,
  ...directoryCases,
  ...xattrCases,
  ...protocolCases,
];

export const GROUPS: readonly Group[] = [
  { name: 'never', peers: ['c', 'rust'], options: { handles: 'never' }, cases: plain },
  { name: 'prefer', peers: ['rust'], options: { handles: 'prefer' }, cases: plain },
  { name: 'mandatory', peers: ['rust'], options: { handles: 'mandatory' }, cases: plain },
  {
    name: 'xattr',
    peers: ['c', 'rust'],
    options: { xattr: true },
    cases: xattrCases,
  },
  {
    name: 'xattr by handles',
    peers: ['rust'],
    options: { xattr: true, handles: 'mandatory' },
    cases: xattrCases,
  },
  {
    name: 'xattrmap',
    peers: ['c', 'rust'],
    options: { xattr: true, xattrmap: ':map::user.virtiofs.:' },
    cases: xattrCases,
  },
  {
    name: 'cache=never',
    peers: ['c', 'rust'],
    options: { cache: 'never' },
    cases: [...nameCases, ...directoryCases],
  },
  {
    name: 'cache=always',
    peers: ['c', 'rust'],
    options: { cache: 'always' },
    cases: [...nameCases, ...directoryCases],
  },
  {
    name: 'cache=metadata',
    peers: ['rust'],
    options: { cache: 'metadata' },
    cases: [...nameCases, ...directoryCases],
  },
  {
    name: 'writeback',
    peers: ['c', 'rust'],
    options: { writeback: true },
    cases: [...nameCases, ...dataCases, ...protocolCases],
  },
  {
    name: 'readonly',
    peers: ['rust'],
    options: { readonly: true, xattr: true },
    cases: plain,
  },
  {
    name: 'killpriv',
    peers: ['c', 'rust'],
    options: { killpriv: true },
    cases: [...killprivCases, ...attributeCases, ...protocolCases],
  },
  {
    name: 'posix-acl',
    peers: ['c', 'rust'],
    options: { xattr: true, posixAcl: true },
    cases: [...aclCases, ...nameCases, ...protocolCases],
  },
  {
    name: 'no readdirplus',
    peers: ['c', 'rust'],
    options: { readdirplus: false },
    cases: [...directoryCases, ...protocolCases],
  },
  {
    name: 'direct I/O and noatime',
    peers: ['rust'],
    options: { more: ['--allow-direct-io', '--preserve-noatime', '--allow-mmap'] },
    cases: [...dataCases, ...protocolCases],
  },
  {
    name: 'attributes renamed',
    peers: ['rust'],
    options: {
      xattr: true,
      xattrmap:
        ':prefix:all:trusted.:user.t.:/bad/client/security.//:bad:server::security.::unsupported:client:system.:::ok:all:::',
    },
    cases: xattrCases,
  },
  {
    name: 'security labels',
    peers: ['rust'],
    options: { more: ['--security-label'] },
    cases: [...labelCases, ...protocolCases],
  },
  {
    name: 'translated ids',
    peers: ['rust'],
    options: {
      more: ['--translate-uid=map:0:100000:65536', '--translate-gid=map:0:100000:65536'],
    },
    cases: [...translationCases, ...attributeCases],
  },
  {
    name: 'sandboxed',
    peers: ['rust'],
    options: { sandbox: 'namespace', seccomp: 'kill', handles: 'prefer', xattr: true },
    cases: plain,
  },
  {
    name: 'in a chroot',
    peers: ['rust'],
    options: { sandbox: 'chroot', seccomp: 'kill', handles: 'mandatory' },
    cases: [...nameCases, ...dataCases],
  },
  { name: 'malformed', peers: ['rust'], options: {}, cases: malformedCases },
];

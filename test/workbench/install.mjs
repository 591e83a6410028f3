/**
 * Installs the VS Code that the workbench tests drive: the npm package code-server, which carries a
 * whole VS Code with a real extension host. VS Code's own test packages download it from update
 * servers, which closed networks cannot reach; the npm and Debian registries are enough here.
 *
 * As a program: `node test/workbench/install.mjs` prints the path of the program to start.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ensure, findProgram } from '../../scripts/system.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const cache = join(here, '../../.cache/workbench');
const manifests = ['package.json', 'package-lock.json'].map((name) =>
  join(here, 'code-server', name),
);
const stamp = 'installed';
const partial = '.partial-';

/**
 * Installs code-server unless this very version, installed by this very recipe for this Node, is in
 * the cache already.
 *
 * The work is done in a folder of this process and renamed into place when it is complete, so an
 * interrupted install is never taken for a whole one, and two processes may install at once.
 *
 * @returns {Promise<string>} the absolute path of code-server's `entry.js`
 * @throws when Node is not the version code-server is made for, when a system program is missing and
 *   may not be installed, or when a step fails (with the end of its output)
 */
export async function install() {
  const folder = join(cache, cacheKey());
  const entry = join(folder, 'node_modules/code-server/out/node/entry.js');
  if (existsSync(join(folder, stamp))) return entry;

  // code-server compares the major version at start and refuses any other.
  const node = process.versions.node;
  if (!node.startsWith('20.')) {
    throw new Error(
      `The workbench tests need Node 20 (code-server 4.100 refuses others), not ${node}.`,
    );
  }
  ensure(['gcc', 'g++', 'make', 'python3', 'pkg-config', 'krb5-headers', 'rg']);

  console.error('Installing code-server into .cache/workbench (about a minute, once)');
  removeAbandoned();
  const work = `${folder}${partial}${process.pid}`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  for (const manifest of manifests) copyFileSync(manifest, join(work, basename(manifest)));

  // Install scripts stay off: code-server's own fetches ripgrep from outside the registry.
  await npmInstall(work);
  const vscode = join(work, 'node_modules/code-server/lib/vscode');
  await npmInstall(vscode);

  const argon2 = join(work, 'node_modules/argon2');
  const modules = join(vscode, 'node_modules');
  await Promise.all([
    buildAddon(join(modules, '@vscode/spdlog')),
    buildAddon(join(modules, 'native-watchdog')),
    buildAddon(join(modules, 'kerberos')),
    buildAddon(join(modules, 'node-pty')),
    // What node-pre-gyp would pass; run by itself it first tries a download.
    buildAddon(argon2, [
      '--module_name=argon2',
      `--module_path=${join(argon2, 'lib/binding/napi-v3')}`,
      '--napi_build_version=3',
    ]),
  ]);

  const ripgrep = findProgram('rg');
  if (ripgrep === undefined) throw new Error('rg is gone from PATH; install ripgrep again.');
  mkdirSync(join(modules, '@vscode/ripgrep/bin'), { recursive: true });
  symlinkSync(ripgrep, join(modules, '@vscode/ripgrep/bin/rg'));
  // VS Code looks for some files in the archive that its desktop build makes of node_modules.
  symlinkSync('node_modules', join(vscode, 'node_modules.asar'));

  const { stdout } = await run(process.execPath, [
    join(work, 'node_modules/code-server/out/node/entry.js'),
    '--version',
    // Otherwise it writes one into the user's home.
    '--config',
    join(work, 'config.yaml'),
  ]);
  writeFileSync(join(work, stamp), stdout);
  // A folder without the stamp is what a cache restored by halves leaves.
  if (!existsSync(join(folder, stamp))) rmSync(folder, { recursive: true, force: true });
  try {
    renameSync(work, folder);
  } catch (error) {
    // Another process was quicker: its install is as good as ours.
    if (!existsSync(join(folder, stamp))) throw error;
    rmSync(work, { recursive: true, force: true });
  }
  return entry;
}

/** Everything that the installed files depend on: versions, steps, and the Node they are built for. */
function cacheKey() {
  const hash = createHash('sha256');
  for (const file of [...manifests, fileURLToPath(import.meta.url)])
    hash.update(readFileSync(file));
  const node = `node${process.versions.modules}-${process.platform}-${process.arch}`;
  return `${node}-${hash.digest('hex').slice(0, 16)}`;
}

/** Removes what installs that were killed left behind; those still running are let alone. */
function removeAbandoned() {
  if (!existsSync(cache)) return;
  for (const name of readdirSync(cache)) {
    const owner = name.split(partial)[1];
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
    rmSync(join(cache, name), { recursive: true, force: true });
  }
}

/** @param {string} folder with a package.json and a lock or shrinkwrap file */
async function npmInstall(folder) {
  await run(
    'npm',
    [
      'ci',
      '--ignore-scripts',
      '--omit=dev',
      // VS Code's shrinkwrap file leaves out a peer of its telemetry modules, and `npm ci` would
      // call it out of step for that.
      '--legacy-peer-deps',
      '--no-audit',
      '--no-fund',
      // Under `npm test` the environment names the repository as npm's prefix.
      '--prefix',
      folder,
    ],
    folder,
  );
}

/**
 * Compiles one native module with the repository's own node-gyp, so that neither npm's version nor
 * a prebuild server matters.
 *
 * @param {string} folder the module's
 * @param {string[]} [variables] gyp variables
 */
async function buildAddon(folder, variables = []) {
  const require = createRequire(import.meta.url);
  const nodeGyp = require.resolve('node-gyp/bin/node-gyp.js');
  const headers = nodeHeaders();
  const nodeDir = headers === undefined ? [] : [`--nodedir=${headers}`];
  await run(process.execPath, [nodeGyp, 'rebuild', ...nodeDir, ...variables], folder);
}

/** The prefix under which this Node's headers are installed; without it node-gyp downloads them. */
function nodeHeaders() {
  const prefix = dirname(dirname(process.execPath));
  const header = join(prefix, 'include/node/node_version.h');
  if (!existsSync(header)) return undefined;
  const major = /#define NODE_MAJOR_VERSION (\d+)/.exec(readFileSync(header, 'utf8'))?.[1];
  return major === process.versions.node.split('.')[0] ? prefix : undefined;
}

/**
 * @param {string} program
 * @param {string[]} args
 * @param {string} [cwd]
 */
async function run(program, args, cwd = here) {
  try {
    return await promisify(execFile)(program, args, { cwd, maxBuffer: 64 * 1024 * 1024 });
  } catch (error) {
    const output = /** @type {{ stdout?: string, stderr?: string }} */ (error);
    const end = `${output.stdout ?? ''}${output.stderr ?? ''}`.trim().split('\n').slice(-80);
    throw new Error(`\`${program} ${args.join(' ')}\` failed in ${cwd}:\n${end.join('\n')}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await install());

/**
 * `npm start`: installs what is missing, builds, shares a demo directory, works in it, opens the
 * live map, and stays until Ctrl+C.
 */

import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { preparePackages, root } from './prepare.mjs';
import { ensure, findProgram } from './system.mjs';

/** @param {string} sentence */
function say(sentence) {
  process.stdout.write(`${sentence}\n`);
}

/** What keeps this user from mounting, as a sentence, or null. @returns {string | null} */
function whyNoMount() {
  if (!fs.existsSync('/dev/fuse')) {
    return 'There is no /dev/fuse: load the fuse module (modprobe fuse), or pass the device into the container.';
  }
  if (process.getuid?.() === 0) return null;
  try {
    fs.accessSync('/dev/fuse', fs.constants.R_OK | fs.constants.W_OK);
  } catch {
    return 'This user may not open /dev/fuse: run as root, or ask for access to it.';
  }
  if (findProgram('fusermount3') !== undefined) return null;
  return 'Mounting as an ordinary user needs fusermount3: sudo apt-get install fuse3';
}

async function main() {
  if (preparePackages()) say('Installed the npm packages.');
  ensure(['g++', 'make', 'python3']);
  const { buildAll } = await import('./build.mjs');
  await buildAll();
  say('Built the daemon, the extension and the map.');

  const demo = fs.mkdtempSync(path.join(os.tmpdir(), 'virtiofsd-inspector-demo-'));
  const share = path.join(demo, 'share');
  fs.mkdirSync(share);
  const { fillShare } = await import('./demo.mjs');
  fillShare(share);

  const obstacle = whyNoMount();
  if (obstacle !== null) say(`Nothing can be mounted here. ${obstacle}`);
  const way = obstacle === null ? throughMount(demo, share) : throughGuest(demo, share);
  const daemon = spawn(
    process.execPath,
    [path.join(root, 'dist/daemon/cli.js'), 'serve', '--shared-dir', share, ...way.options],
    // Its own group: Ctrl+C reaches us, and we stop it.
    { stdio: ['ignore', 'inherit', 'pipe'], detached: true },
  );
  const exited = new Promise((resolve) => daemon.once('exit', resolve));
  const stop = () => daemon.kill('SIGTERM');
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);

  const page = await pageOf(daemon);
  say(`Shared ${share} on ${way.where} (process ${daemon.pid}).`);
  say(`Worked in it: ${await way.work()}.`);
  openMap(page, daemon.pid ?? 0);
  say(`${way.advice} Ctrl+C stops and cleans up.`);

  const status = await exited;
  way.end();
  fs.rmSync(demo, { recursive: true, force: true, maxRetries: 3 });
  say('Stopped the daemon and removed the demo directory.');
  process.exitCode = status === 0 ? 0 : 1;
}

/**
 * How the demo directory is served and used.
 *
 * @typedef {object} Way
 * @property {string[]} options of `serve`
 * @property {string} where it is served, for people
 * @property {() => Promise<string>} work what was done, in one line
 * @property {string} advice
 * @property {() => void} end
 */

/** On this host, by /dev/fuse. @param {string} demo @param {string} share @returns {Way} */
function throughMount(demo, share) {
  const mount = path.join(demo, 'mount');
  fs.mkdirSync(mount);
  return {
    options: ['--mount', mount, '--cache', 'never'],
    where: mount,
    work: async () => (await import('./demo.mjs')).work(share, mount),
    advice: 'Work in the mount with any program and watch.',
    end: () => undefined,
  };
}

/**
 * Over vhost-user, with the tests' client as the guest: needs neither root nor /dev/fuse.
 *
 * @param {string} demo
 * @param {string} share
 * @returns {Way}
 */
function throughGuest(demo, share) {
  const socket = path.join(demo, 'share.sock');
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let guest;
  return {
    // Nothing is shared but the demo's own files, and not every host lets users make namespaces.
    options: ['--socket-path', socket, '--sandbox', 'none'],
    where: socket,
    work: async () => {
      guest = spawn(process.execPath, [await bundleGuest(), socket, share], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      if (guest.stdout === null) throw new Error('The demo guest has no stdout.');
      for await (const line of createInterface(guest.stdout)) return line;
      throw new Error('The demo guest did not get through its work.');
    },
    advice: `Change files in ${share} and watch the guest's entries, or boot a virtual machine on a share of your own (README).`,
    end: () => guest?.stdin?.end(),
  };
}

/** @returns {Promise<string>} the program of test/frontend/demoGuest.ts */
async function bundleGuest() {
  const { build } = await import('esbuild');
  const outfile = path.join(root, 'dist/demo/demoGuest.js');
  await build({
    absWorkingDir: root,
    entryPoints: ['test/frontend/demoGuest.ts'],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
  });
  return outfile;
}

/**
 * The address of the daemon's page, from its log.
 *
 * @param {import('node:child_process').ChildProcess} daemon
 * @returns {Promise<string>}
 */
function pageOf(daemon) {
  return new Promise((resolve, reject) => {
    /** @type {string[]} */
    const lines = [];
    if (daemon.stderr === null) throw new Error('The daemon has no stderr.');
    createInterface(daemon.stderr).on('line', (line) => {
      lines.push(line);
      const page = /The Key Map is at (\S+)/.exec(line)?.[1];
      if (page !== undefined) resolve(page);
      else if (/^(error|warn):/.test(line)) say(`  ${line}`);
    });
    daemon.once('exit', () => reject(new Error(`The daemon did not start: ${lines.join(' ')}`)));
    daemon.once('error', reject);
  });
}

/**
 * In VS Code when its `code` command is there, else in a browser.
 *
 * @param {string} page
 * @param {number} pid
 */
function openMap(page, pid) {
  if (findProgram('code') !== undefined) {
    const packed = spawnSync(process.execPath, [path.join(root, 'scripts/package.mjs')], {
      encoding: 'utf8',
    });
    const vsix = path.join(root, 'dist', 'virtiofsd-inspector-linux-x64.vsix');
    const installed =
      packed.status === 0 &&
      spawnSync('code', ['--install-extension', vsix, '--force'], { encoding: 'utf8' }).status ===
        0;
    const uri = `vscode://virtiofsd-inspector.virtiofsd-inspector/map?pid=${pid}`;
    if (installed && spawnSync('code', ['--open-url', uri]).status === 0) {
      say('Opened the Key Map in VS Code.');
      return;
    }
    say('VS Code did not take the extension; the browser page shows the same map.');
  }
  say(`The live map is at ${page}`);
  const desktop = process.env.DISPLAY !== undefined || process.env.WAYLAND_DISPLAY !== undefined;
  if (desktop && findProgram('xdg-open') !== undefined) {
    spawn('xdg-open', [page], { stdio: 'ignore', detached: true }).unref();
  }
}

main().catch((error) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});

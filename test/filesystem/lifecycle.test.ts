/** How mounts begin and end. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mountAt, unescapeMountField } from '../../daemon/transport/mountTable';
import { isInside } from '../../daemon/transport/mountpoint';
import { daemonProgram, ext4, must, serve, stopAll } from './harness';

afterAll(stopAll);

/** Waits until a mount is gone: /proc/self/mountinfo signals changes to poll, so ask in turns. */
async function gone(point: string): Promise<void> {
  for (let turn = 0; turn < 200; turn++) {
    if (mountAt(point) === undefined) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`${point} is still mounted.`);
}

function guards(point: string): number {
  const listed = spawnSync('pgrep', ['-fc', `mount-guard.*${point}$`], { encoding: 'utf8' });
  return Number(listed.stdout.trim());
}

describe('a daemon that ends', () => {
  it('unmounts on SIGTERM and leaves nothing behind', async () => {
    const share = await serve({ handles: 'mandatory' });
    must(share, 'echo x > f; cat f');
    expect(guards(share.mount)).toBe(1);
    expect(await share.stop()).toBe(0);
    expect(mountAt(share.mount)).toBeUndefined();
    expect(guards(share.mount)).toBe(0);
  });

  it('ends on SIGTERM also while a program is inside, and says so', async () => {
    const share = await serve({ handles: 'mandatory' });
    const inside = spawn('sleep', ['60'], { cwd: share.mount });
    await once(inside, 'spawn');
    expect(await share.stop()).toBe(0);
    expect(mountAt(share.mount)).toBeUndefined();
    expect(share.log.join('\n')).toMatch(/was in use/);
    expect(() => fs.readdirSync(`/proc/${inside.pid ?? 0}/cwd/`)).toThrow(/ENOTCONN/);
    inside.kill();
  });

  it('goes on when nobody reads its log any more, and still ends on SIGTERM', async () => {
    const share = await serve({ handles: 'mandatory' });
    share.deafen();
    // Each connection is a line of the log, which now fails with EPIPE.
    for (let i = 0; i < 3; i++) {
      const looked = spawnSync(
        process.execPath,
        [await daemonProgram(), 'snapshot', String(share.pid), '--json'],
        { encoding: 'utf8' },
      );
      expect(looked.stderr).toBe('');
      expect(looked.status).toBe(0);
    }
    must(share, 'echo x > f; cat f');
    expect(await share.stop()).toBe(0);
    expect(mountAt(share.mount)).toBeUndefined();
  });

  it('ends by itself when somebody unmounts', async () => {
    const share = await serve({ handles: 'never' });
    expect(spawnSync('umount', [share.mount]).status).toBe(0);
    await gone(share.mount);
    expect(await share.ended()).toBe(0);
    expect(guards(share.mount)).toBe(0);
  });

  it('is unmounted by its guard after kill -9', async () => {
    const share = await serve({ handles: 'mandatory' });
    must(share, 'echo x > f');
    await share.kill();
    await gone(share.mount);
    expect(fs.readdirSync(share.mount)).toEqual([]);
  });

  it('is unmounted by its guard after kill -9 while a program is inside', async () => {
    const share = await serve({ handles: 'mandatory' });
    const inside = spawn('sleep', ['60'], { cwd: share.mount });
    await once(inside, 'spawn');
    await share.kill();
    await gone(share.mount);
    inside.kill();
  });
});

describe('a mount point', () => {
  async function refusal(shared: string, mount: string): Promise<string> {
    const done = spawnSync(
      process.execPath,
      [await daemonProgram(), 'serve', '--shared-dir', shared, '--mount', mount],
      { encoding: 'utf8', timeout: 20_000 },
    );
    expect(done.status).toBe(1);
    return done.stderr;
  }

  it('must exist, be a directory, and lie apart from the shared directory', async () => {
    const shared = path.join(await ext4(), 'apart');
    fs.mkdirSync(path.join(shared, 'inner'), { recursive: true });
    fs.writeFileSync(path.join(shared, 'file'), '');
    expect(await refusal(shared, '/no/such/place')).toMatch(/does not exist/);
    expect(await refusal(shared, path.join(shared, 'file'))).toMatch(/not a directory/);
    expect(await refusal(shared, path.join(shared, 'inner'))).toMatch(/inside the shared/);
    expect(await refusal(shared, shared)).toMatch(/inside the shared/);
    expect(await refusal(path.join(shared, 'inner'), shared)).toMatch(/covers the shared/);
  });

  it('is cleaned of a dead mount', async () => {
    const share = await serve({ handles: 'never' });
    const listed = spawnSync('pgrep', ['-f', `mount-guard.*${share.mount}$`], { encoding: 'utf8' });
    process.kill(Number(listed.stdout.trim()), 'SIGKILL');
    await share.kill();
    expect(() => fs.statSync(share.mount)).toThrow(/ENOTCONN/);
    const again = await serve({ handles: 'never', shared: share.shared, mount: share.mount });
    expect(again.log.join('\n')).toMatch(/dead mount/);
    must(again, 'touch alive');
    expect(await again.stop()).toBe(0);
  });
});

describe('an ordinary user', () => {
  // Distributions let everybody open the device (udev's rules); a bare machine may not yet.
  const device = fs.existsSync('/dev/fuse') ? fs.statSync('/dev/fuse').mode & 0o777 : 0;
  beforeAll(() => {
    fs.chmodSync('/dev/fuse', 0o666);
  });
  afterAll(() => {
    fs.chmodSync('/dev/fuse', device);
  });

  it('mounts through fusermount3 and gets his own files', async () => {
    const home = path.join(path.dirname(await ext4()), 'user');
    const shared = path.join(home, 'shared');
    const mount = path.join(home, 'mount');
    for (const folder of [home, shared, mount]) {
      fs.mkdirSync(folder, { recursive: true });
      fs.chownSync(folder, 65534, 65534);
    }
    fs.chmodSync(path.dirname(home), 0o755);
    const program = path.dirname(await daemonProgram());
    const bin = path.join(home, 'bin');
    fs.cpSync(program, path.join(bin, 'daemon'), { recursive: true });
    fs.cpSync(path.join(import.meta.dirname, '../../prebuilds'), path.join(bin, 'prebuilds'), {
      recursive: true,
    });
    const user = ['--reuid=65534', '--regid=65534', '--clear-groups'];
    const daemon = spawn(
      'setpriv',
      [
        ...[...user, process.execPath, path.join(bin, 'daemon/cli.js'), 'serve', '--no-inspect'],
        ...['--shared-dir', shared, '--mount', mount, '--inode-file-handles', 'prefer'],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const exited = once(daemon, 'exit');
    let said = '';
    await new Promise<void>((resolve, reject) => {
      daemon.stderr.on('data', (data: Buffer) => {
        said += data.toString();
        if (said.includes('Serving ')) resolve();
      });
      void exited.then(() => {
        reject(new Error(said));
      });
    });
    // open_by_handle_at needs a capability that he lacks.
    expect(said).toMatch(/handles never/);
    const done = spawnSync(
      'setpriv',
      [
        ...user,
        'sh',
        '-ec',
        'cd "$1"; echo x > f; mkdir d; mv f d/; cat d/f; stat -c %u d',
        '-',
        mount,
      ],
      { encoding: 'utf8' },
    );
    expect(done.stdout, done.stderr).toBe('x\n65534\n');
    daemon.kill('SIGTERM');
    await exited;
    expect(daemon.exitCode).toBe(0);
    expect(mountAt(mount)).toBeUndefined();

    // Where no runtime file can be written it says so and ends; nothing keeps it waiting.
    const refused = spawnSync(
      'setpriv',
      [
        ...[...user, process.execPath, path.join(bin, 'daemon/cli.js'), 'serve'],
        ...['--shared-dir', shared, '--mount', mount],
      ],
      {
        encoding: 'utf8',
        timeout: 20_000,
        env: { ...process.env, XDG_RUNTIME_DIR: path.join(shared, 'd/f') },
      },
    );
    expect(refused.stderr).toMatch(/ENOTDIR/);
    expect(refused.status).toBe(1);
    expect(mountAt(mount)).toBeUndefined();
  });
});

it('reads mount points as the kernel writes them', () => {
  expect(unescapeMountField('/a\\040b\\011\\134c')).toBe('/a b\t\\c');
  expect(isInside('/ab', '/a')).toBe(false);
  expect(isInside('/a/b', '/a')).toBe(true);
  expect(isInside('/a', '/')).toBe(true);
});

/** The debugger on a real mount: programs wait, others go on, and nobody is forgotten. */

import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { DebugSession } from './debugSession';
import { attach, follow, observe, pointText, run } from './debugSession';
import type { Share } from './harness';
import { daemonProgram, must, serve, stopAll } from './harness';

let share: Share;
let session: DebugSession;

beforeEach(async () => {
  share = await serve({ handles: 'prefer' });
  fs.writeFileSync(path.join(share.shared, 'f'), 'content');
  session = await attach(share.pid);
});
afterEach(async () => {
  session.close();
  await stopAll();
});

const at = (name: string) => path.join(share.mount, name);
const host = (name: string) => path.join(share.shared, name);
const cat = (name: string) => run('cat', at(name));

it('holds one program while others work and observers look', async () => {
  fs.writeFileSync(host('g'), 'other');
  fs.mkdirSync(host('d'));
  await session.arm({ operation: 'LOOKUP', path: 'f' });
  const held = cat('f');
  const stop = await session.stops.next();
  expect(stop).toMatchObject({
    op: 'LOOKUP',
    point: 'request',
    reason: 'breakpoint',
    breakpoints: [1],
    facts: { node: '1', parent: '1', name: 'f', path: 'f', candidate: null, byHandle: null },
  });
  // In the same folder nothing can be made or listed: the kernel itself makes that wait for a name
  // that is being looked up.
  const others = 'cat g; echo made > d/new; cat d/new; ls d | wc -l; rm d/new';
  expect(must(share, others)).toBe('othermade\n1');
  const observer = await observe(share.pid);
  const { debugger: who } = await observer.client.call('status.watch', {});
  expect(who).toMatchObject({ client: 'test', held: 1, breakpoints: 1 });
  const snapshot = await observer.client.call('snapshot', {});
  expect(snapshot.entries.map(({ path: name }) => name)).toContain('g');
  expect(snapshot.entries.map(({ path: name }) => name)).not.toContain('f');
  observer.close();
  expect(held.running).toBe(true);
  await session.continue();
  expect(await held.done).toMatchObject({ status: 0, stdout: 'content' });
});

it('steps through the decisions of a first lookup and of a second', async () => {
  await session.arm({ operation: 'LOOKUP', path: 'f' });
  const first = cat('f');
  const points: string[] = [];
  let stop = await session.stops.next();
  for (;;) {
    points.push(stop.point);
    if (stop.point === 'reply') break;
    stop = await session.step(stop);
  }
  expect(points).toEqual([
    ...['request', 'parent', 'opened', 'identified', 'handle'],
    ...['by_handle', 'by_ids', 'inserted', 'reply'],
  ]);
  expect(stop.facts).toMatchObject({ hit: 'miss', answer: '2', byIds: { node: null } });
  await session.continue();
  expect((await first.done).stdout).toBe('content');

  // The second program's lookup comes when the first one's name is no longer cached.
  await session.arm({ operation: 'LOOKUP', path: 'f', condition: 'point == "request"' });
  fs.utimesSync(host('.'), 0, 0);
  spawnSync('sleep', ['1.1']);
  const second = cat('f');
  const again: string[] = [];
  for (stop = await session.stops.next(); ; stop = await session.step(stop)) {
    again.push(stop.point);
    if (stop.point === 'reply') break;
  }
  expect(again.slice(4)).toEqual(['handle', 'by_handle', 'claimed', 'reply']);
  expect(stop.facts).toMatchObject({ hit: 'handle_hit', answer: '2' });
  await session.continue();
  expect((await second.done).stdout).toBe('content');
});

it('knows at the reply what a lookup has found that nobody stepped through', async () => {
  await session.arm({ operation: 'LOOKUP', path: 'f' });
  const first = cat('f');
  let stop = await session.step(await session.stops.next(), 'out');
  expect(stop).toMatchObject({ point: 'reply', facts: { hit: 'miss', answer: '2', errno: null } });
  expect(stop.facts.candidate).toMatchObject({ nlink: 1, handleErrno: null });
  await session.continue();
  expect((await first.done).stdout).toBe('content');

  await session.arm({ decision: 'reply', hit: 'handle_hit' }, { hit: 'error' });
  fs.linkSync(host('f'), host('f-link'));
  const linked = cat('f-link');
  stop = await session.stops.next();
  expect(stop).toMatchObject({
    breakpoints: [1],
    facts: { path: 'f-link', byHandle: { node: '2' }, byIds: null, answer: '2' },
  });
  await session.continue();
  expect((await linked.done).stdout).toBe('content');
  const missing = cat('nowhere');
  stop = await session.stops.next();
  expect(stop).toMatchObject({
    breakpoints: [2],
    facts: { path: 'nowhere', hit: 'error', errno: 'ENOENT', candidate: null, byHandle: null },
  });
  await session.continue();
  expect((await missing.done).status).toBe(1);
});

it('the seed scenario: a hard link, ENOMEM, then EOPNOTSUPP', async () => {
  const { events, close } = await follow(share.pid);
  fs.linkSync(host('f'), host('f-link'));
  expect(must(share, 'cat f')).toBe('content');

  await session.inject({
    call: 'name_to_handle_at',
    errno: 'ENOMEM',
    path: 'f-link',
    when: { kind: 'next' },
  });
  await session.arm({ operation: 'LOOKUP', path: 'f-link', decision: 'handle' });
  const refused = cat('f-link');
  let stop = await session.stops.next();
  expect(stop).toMatchObject({ point: 'handle', faults: [1] });
  expect(stop.facts.candidate).toMatchObject({ handle: null, handleErrno: 'ENOMEM', nlink: 2 });
  stop = await session.step(stop);
  expect(stop).toMatchObject({ point: 'reply', facts: { errno: 'ENOMEM', hit: 'error' } });
  await session.continue();
  expect((await refused.done).stderr).toContain('Cannot allocate memory');

  await session.inject({
    call: 'name_to_handle_at',
    errno: 'EOPNOTSUPP',
    path: '**/f-link',
    when: { kind: 'next' },
  });
  await session.arm({ operation: 'LOOKUP', path: 'f-link' });
  const linked = cat('f-link');
  const points: string[] = [];
  for (stop = await session.stops.next(); ; stop = await session.step(stop)) {
    points.push(pointText(stop));
    if (stop.point === 'reply') break;
  }
  expect(points.slice(4)).toEqual([
    'LOOKUP handle',
    'LOOKUP by_ids',
    'LOOKUP fallback rejected',
    'LOOKUP inserted',
    'LOOKUP reply',
  ]);
  expect(stop.facts).toMatchObject({
    hit: 'fallback_rejected',
    byIds: { node: '2' },
    answer: '3',
    idsStolenFrom: '2',
  });
  // What the guest is about to be told stands in the tables already.
  const { inodes_by_ids, hazards } = await session.client.call('snapshot', {});
  expect(inodes_by_ids.map(({ nodeid }) => nodeid)).toEqual(['1', '3']);
  expect(hazards.map(({ id }) => id)).toContain('H5');
  await session.continue();
  expect((await linked.done).stdout).toBe('content');

  const injected = await events.until(({ type }) => type === 'injected');
  expect(injected).toMatchObject({ op: 'LOOKUP', call: 'name_to_handle_at', errno: 'ENOMEM' });
  expect(await events.until(({ type }) => type === 'paused')).toMatchObject({ point: 'handle' });
  expect(await events.until(({ type }) => type === 'resumed')).toMatchObject({ reason: 'step' });
  const { faults } = await session.client.call('debug.inspect', {});
  expect(faults).toMatchObject([{ errno: 'EOPNOTSUPP', struck: 1, usedUp: true }]);
  close();
});

it('stops inside a listing, at one of its lookups', async () => {
  fs.mkdirSync(host('d'));
  for (const name of ['a', 'b', 'c']) fs.writeFileSync(host(`d/${name}`), name);
  await session.arm({ operation: 'READDIRPLUS', path: 'd/b' });
  const ls = run('ls', at('d'));
  let stop = await session.stops.next();
  expect(stop).toMatchObject({ point: 'parent', facts: { path: 'd/b', name: 'b' } });
  expect(stop.lookup).toBeGreaterThan(0);
  expect(must(share, 'cat f')).toBe('content');
  stop = await session.step(stop, 'out');
  expect(pointText(stop)).toBe('READDIRPLUS reply');
  await session.continue();
  expect((await ls.done).stdout).toBe('a\nb\nc\n');
});

it('steps into the lookup of another request', async () => {
  fs.mkdirSync(host('d'));
  fs.writeFileSync(host('d/a'), 'a');
  must(share, 'stat d > /dev/null');
  await session.arm({ operation: 'LOOKUP', path: 'f' });
  const held = cat('f');
  const first = await session.stops.next();
  await session.client.call('debug.step', { request: first.request, how: 'into' });
  // Whoever comes first: the same request's own next decision.
  const second = await session.stops.next();
  expect(second.request).toBe(first.request);
  await session.client.call('debug.pause', {});
  const other = cat('d/a');
  const third = await session.stops.next();
  expect(third).toMatchObject({ reason: 'pause', point: 'request' });
  expect(third.request).not.toBe(first.request);
  // The first cannot go on before the one above it.
  const { waiting } = await session.client.call('debug.continue', { request: first.request });
  expect(waiting).toEqual([first.request]);
  await session.client.call('debug.continue', { request: third.request });
  expect((await session.resumed.until(({ reason }) => reason === 'continue')).request).toBe(
    third.request,
  );
  expect((await session.resumed.next()).request).toBe(first.request);
  expect((await held.done).stdout).toBe('content');
  expect((await other.done).stdout).toBe('a');
});

it('stops where a file is made, and at its forget', async () => {
  await session.arm({ operation: 'CREATE' }, { operation: 'UNLINK', decision: 'claimed' });
  const writing = run('sh', '-c', `echo new > ${at('n')}; rm ${at('n')}`);
  let stop = await session.stops.next();
  expect(pointText(stop)).toBe('CREATE request');
  const points: string[] = [];
  while (stop.point !== 'reply') {
    stop = await session.step(stop);
    points.push(pointText(stop));
  }
  expect(points).toEqual(
    ['parent', 'opened', 'identified', 'handle', 'by_handle', 'by_ids', 'inserted', 'reply'].map(
      (point) => `CREATE ${point}`,
    ),
  );
  const node = stop.facts.answer ?? '';
  await session.continue();
  stop = await session.stops.next();
  expect(stop).toMatchObject({ op: 'UNLINK', point: 'claimed', facts: { answer: node } });
  await session.arm({ entry: node });
  await session.continue();
  // The lookup in passing is counted down again; then the guest forgets the entry.
  stop = await session.stops.next();
  expect(stop).toMatchObject({ op: 'UNLINK', point: 'counted', facts: { forgets: { left: '1' } } });
  await session.continue();
  stop = await session.stops.next();
  expect(stop).toMatchObject({ op: 'FORGET', point: 'removed', facts: { forgets: { left: '0' } } });
  const { entries } = await session.client.call('snapshot', {});
  expect(entries.map(({ nodeid }) => nodeid)).not.toContain(node);
  await session.continue();
  expect((await writing.done).status).toBe(0);
});

it('stops when a key changes its owner, at a hazard, and at what the guest is answered', async () => {
  expect(must(share, 'cat f')).toBe('content');
  const { inodes_by_ids } = await session.client.call('snapshot', {});
  const ids = inodes_by_ids.find(({ nodeid }) => nodeid === '2')?.ids;
  if (ids === undefined) throw new Error('f has no key');
  fs.linkSync(host('f'), host('g'));
  await session.inject({
    call: 'name_to_handle_at',
    errno: 'EOPNOTSUPP',
    when: { kind: 'every' },
    path: 'g',
  });
  await session.arm(
    { key: { table: 'inodes_by_ids', ids } },
    { hazard: 'H5', operation: 'LOOKUP' },
    { errno: 'ENOENT' },
    { hit: 'fallback_rejected', log: 'rejected {byIds} for {name}' },
  );
  const cats = cat('g');
  let stop = await session.stops.next();
  expect(stop).toMatchObject({
    point: 'inserted',
    breakpoints: [1],
    facts: { answer: '3', idsStolenFrom: '2' },
  });
  expect(await session.output.next()).toMatchObject({ category: 'log', text: 'rejected 2 for g' });
  await session.continue();
  expect((await cats.done).stdout).toBe('content');

  await session.arm({ hazard: 'H5' }, { errno: 'ENOENT' });
  fs.linkSync(host('f'), host('h'));
  await session.inject({ call: 'name_to_handle_at', errno: 'EOPNOTSUPP', when: { kind: 'every' } });
  const missing = run('cat', at('nowhere'));
  stop = await session.stops.next();
  expect(stop).toMatchObject({ point: 'reply', breakpoints: [2], facts: { errno: 'ENOENT' } });
  await session.continue();
  expect((await missing.done).status).toBe(1);
});

it('stops at a hazard before the guest is told', async () => {
  expect(must(share, 'cat f')).toBe('content');
  fs.linkSync(host('f'), host('g'));
  await session.inject({
    call: 'name_to_handle_at',
    errno: 'EOPNOTSUPP',
    when: { kind: 'next' },
    path: 'g',
  });
  await session.arm({ hazard: 'identity' });
  const cats = cat('g');
  const stop = await session.stops.next();
  expect(stop).toMatchObject({ reason: 'hazard', point: 'inserted', breakpoints: [1] });
  expect(stop.hazards.map(({ id }) => id)).toContain('H5');
  await session.continue();
  expect((await cats.done).stdout).toBe('content');
});

it('stops where a plain answer of the tables reveals a hazard', async () => {
  for (const name of ['g', 'h', 'i']) fs.linkSync(host('f'), host(name));
  expect(must(share, 'cat f')).toBe('content');
  // Without a handle the file gets a second entry, which takes the ids key of the first.
  const fault = { call: 'name_to_handle_at', errno: 'EOPNOTSUPP', path: 'g' } as const;
  await session.inject({ ...fault, when: { kind: 'every' } });
  const keeper = run('sh', '-c', `exec 3<${at('g')}; echo ready; exec sleep 600`);
  expect(await keeper.prints()).toBe('ready');

  await session.arm({ hazard: 'H10' });
  const byHandle = cat('h');
  const hit = await session.stops.next();
  expect(hit).toMatchObject({
    ...{ reason: 'hazard', point: 'claimed' },
    facts: { hit: 'handle_hit', answer: '2', byIds: null },
  });
  expect(hit.hazards.map(({ id }) => id)).toContain('H10');
  await session.continue();
  expect((await byHandle.done).stdout).toBe('content');

  // Forgetting the first takes the key of the second along, which nothing finds any more.
  const nodes = async () =>
    (await session.client.call('snapshot', {})).entries.map(({ nodeid }) => nodeid);
  await expect
    .poll(() => {
      must(share, 'echo 2 > /proc/sys/vm/drop_caches');
      return nodes();
    })
    .toEqual(['1', '3']);
  await session.arm({ hazard: 'H5' });
  const again = cat('i');
  const miss = await session.stops.next();
  expect(miss).toMatchObject({
    ...{ reason: 'hazard', point: 'inserted' },
    facts: { hit: 'miss', answer: '4', idsStolenFrom: null },
  });
  expect(miss.hazards.map(({ id }) => id)).toEqual(['H5']);
  await session.continue();
  expect((await again.done).stdout).toBe('content');
  keeper.kill();
  await keeper.done;
});

it('makes an open by handle stale for one file alone', async () => {
  fs.writeFileSync(host('g'), 'other');
  must(share, 'cat f g > /dev/null');
  await session.inject({
    call: 'open_by_handle_at',
    errno: 'ESTALE',
    path: 'f',
    when: { kind: 'every' },
  });
  spawnSync('sleep', ['1.1']);
  const both = run('sh', '-c', `cat ${at('f')}; cat ${at('g')}`);
  const { stdout, stderr } = await both.done;
  expect(stderr).toContain('Stale file handle');
  expect(stdout).toBe('other');
});

it('lets everything go when the debugger is killed, and soon when it hangs', async () => {
  await session.client.call('debug.detach', {});
  expect((await session.over).reason).toBe('detached');
  const { events, close } = await follow(share.pid);
  for (const [signal, reason, patience] of [
    ['KILL', 'disconnected', 10_000],
    ['STOP', 'timeout', 12_000],
  ] as const) {
    must(share, 'echo 2 > /proc/sys/vm/drop_caches');
    const cli = await breakOn('LOOKUP f', '--timeout', '2');
    const held = cat('f');
    await events.until(({ type }) => type === 'paused');
    const since = performance.now();
    expect(spawnSync('kill', [`-${signal}`, String(cli.pid)]).status).toBe(0);
    expect((await held.done).stdout).toBe('content');
    expect(performance.now() - since).toBeLessThan(patience);
    expect(await events.until(({ type }) => type === 'resumed')).toMatchObject({ reason });
    cli.kill();
    await cli.done;
  }
  close();
  const { client, close: leave } = await observe(share.pid);
  expect((await client.call('status.watch', {})).debugger).toBeNull();
  leave();
});

it('unmounts and ends while requests are held', async () => {
  await session.arm({ operation: 'LOOKUP', path: 'f' });
  const held = cat('f');
  await session.stops.next();
  expect(await share.stop()).toBe(0);
  expect((await session.over).reason).toBe('ended');
  expect((await session.resumed.next()).reason).toBe('ended');
  // Answered before the mount went away, or refused because it has gone.
  const { stdout, status } = await held.done;
  expect(status === 0 ? stdout : 'content').toBe('content');

  share = await serve({ handles: 'never' });
  fs.writeFileSync(host('f'), 'content');
  session = await attach(share.pid);
  await session.arm({ operation: 'LOOKUP', path: 'f' });
  const second = cat('f');
  await session.stops.next();
  // Nobody can unmount what is in use, and a lazy unmount leaves its last user what it has.
  expect(spawnSync('umount', [share.mount]).status).not.toBe(0);
  expect(spawnSync('umount', ['-l', share.mount]).status).toBe(0);
  await session.continue();
  expect((await second.done).status).toBe(0);
  expect(await share.ended()).toBe(0);
});

it('lets a held forget go when the session ends', async () => {
  must(share, 'cat f > /dev/null');
  await session.arm({ operation: 'FORGET' }, { operation: 'BATCH_FORGET' });
  must(share, 'echo 2 > /proc/sys/vm/drop_caches');
  await session.stops.next();
  // Nothing in the kernel waits for a forget, so that the mount can go; its end comes as a request.
  expect(spawnSync('umount', [share.mount]).status).toBe(0);
  expect(await share.ended()).toBe(0);
});

it('refuses what makes no sense, and a second debugger', async () => {
  const { client } = session;
  const answers = await client.call('debug.setBreakpoints', {
    breakpoints: [
      { id: 1, condition: 'process.exit(1)' },
      { id: 2, condition: '('.repeat(200) },
      { id: 3, condition: 'ino ==' },
      { id: 4 },
      { id: 5, operation: 'NOTHING' },
      { id: 6, decision: 'opened', hit: 'miss' },
      { id: 7, path: '[a' },
      { id: 8, log: 'a {b', operation: 'LOOKUP' },
      { id: 9, errno: 'ENOTANERRNO' },
      { id: 10, condition: 'name =~ "*a*a*a*a*a*a*a*a*a*a*a*b"' },
    ],
  });
  expect(answers.breakpoints.map(({ armed }) => armed)).toEqual([
    ...Array<boolean>(9).fill(false),
    true,
  ]);
  expect(answers.breakpoints[0]?.message).toContain('.exit');
  await expect(
    client.call('debug.setBreakpoints', { breakpoints: [{ id: 1, condition: 'x'.repeat(501) }] }),
  ).rejects.toThrow('condition');
  await expect(client.call('debug.step', { request: 99, how: 'over' })).rejects.toThrow('not held');
  const since = performance.now();
  must(share, `touch ${'a'.repeat(250)}; stat ${'a'.repeat(250)} > /dev/null`);
  expect(performance.now() - since).toBeLessThan(10_000);
  const second = await observe(share.pid);
  await expect(second.client.call('debug.attach', {})).rejects.toThrow('test debugs this daemon');
  await expect(second.client.call('debug.pause', {})).rejects.toThrow('do not debug');
  second.close();
});

it('does not stop more requests than it can hold', async () => {
  for (let i = 0; i < 70; i++) {
    fs.mkdirSync(host(`d${i}`));
    fs.writeFileSync(host(`d${i}/f`), String(i));
  }
  must(share, 'for d in d*; do stat $d; done > /dev/null');
  await session.arm({ operation: 'LOOKUP', path: 'f' });
  const cats = Array.from({ length: 70 }, (_, i) => cat(`d${i}/f`));
  const held = new Set<number>();
  while (held.size < 64) held.add((await session.stops.next()).request);
  // The others are done although nobody has let them go.
  const note = await session.output.next();
  expect(note).toMatchObject({ category: 'note' });
  expect(note.text).toContain('64 requests are held');
  await session.continue();
  const answers = await Promise.all(cats.map(({ done }) => done));
  expect(answers.map(({ stdout }) => stdout)).toEqual(cats.map((_, i) => String(i)));
});

/** `virtiofsd-inspector break` for this test's daemon, once it has armed. */
async function breakOn(...words: string[]) {
  const program = await daemonProgram();
  const cli = run(process.execPath, program, 'break', String(share.pid), ...words);
  await cli.says('Armed');
  return cli;
}

it('tells what the guest has open, also while a request is held', async () => {
  fs.mkdirSync(host('d'));
  const files = async (from: number, count: number) => {
    const page = await session.client.call('debug.openFiles', { from, count });
    return page.files.map(({ path: name, isDirectory, flags }) => [name, isDirectory, flags & 3]);
  };
  const script = 'cd d; exec 3<../f 4>>../g 5<.; echo ready; exec sleep 600';
  const keeper = run('sh', '-c', `cd ${share.mount}; ${script}`);
  expect(await keeper.prints()).toBe('ready');
  await session.arm({ operation: 'LOOKUP', path: 'nowhere' });
  const held = cat('nowhere');
  await session.stops.next();
  expect(await files(0, 500)).toEqual([
    ['f', false, 0],
    ['g', false, 1],
    ['d', true, 0],
  ]);
  expect(await files(1, 1)).toEqual([['g', false, 1]]);
  expect(await files(3, 1)).toEqual([]);
  await session.continue();
  expect((await held.done).status).toBe(1);
  keeper.kill();
  await keeper.done;
  // The kernel releases files when nobody waits for it any more.
  await expect.poll(() => files(0, 500)).toEqual([]);
  await expect(session.client.call('debug.openFiles', { count: 501 })).rejects.toThrow('count');
});

it('serves scripts from the command line', async () => {
  session.close();
  const cli = await breakOn('LOOKUP path=f', '--json', '--stops', '1');
  const held = cat('f');
  const first = JSON.parse(await cli.prints()) as { point: string; request: number };
  expect(first).toMatchObject({ point: 'request', op: 'LOOKUP' });
  const program = await daemonProgram();
  const virtiofsd = async (...words: string[]) => run(process.execPath, program, ...words).done;
  const pid = String(share.pid);
  const stepped = await virtiofsd('step', pid, 'over', '--json');
  expect(JSON.parse(stepped.stdout)).toMatchObject({ point: 'parent', request: first.request });
  const injected = await virtiofsd('inject', pid, 'openat=EACCES@f');
  expect(injected).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('EACCES') as string,
  });
  expect(await virtiofsd('step', pid, 'out')).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('answers EACCES') as string,
  });
  expect((await virtiofsd('continue', pid)).status).toBe(0);
  expect((await held.done).stderr).toContain('Permission denied');
  expect((await cli.done).status).toBe(0);
  expect(await virtiofsd('step', pid)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('begin with') as string,
  });
  for (const [spec, why] of [
    ['colour=red', 'is no criterion'],
    ['LOKUP', '“LOKUP”: There is no operation LOKUP'],
    ['hazard=H99', 'There is no hazard H99'],
    ['errno=EFOO', 'EFOO is no errno'],
  ] as const) {
    const refused = await virtiofsd('break', pid, spec);
    expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining(why) as string });
  }
  expect(await virtiofsd('break', pid)).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('Say what to stop at') as string,
  });
  expect((await virtiofsd('inject', pid, 'unlink=EIO')).status).toBe(2);
});

it('ends a script’s debugger when the request was stepped through to its end', async () => {
  session.close();
  const cli = await breakOn('LOOKUP path=f reply', '--stops', '1');
  const held = cat('f');
  expect(await cli.prints()).toContain('stopped at reply (breakpoint 1)');
  const program = await daemonProgram();
  const stepped = await run(process.execPath, program, 'step', String(share.pid)).done;
  expect(stepped).toMatchObject({ status: 0, stdout: '' });
  expect(stepped.stderr).toContain('has passed its last decision');
  expect((await held.done).stdout).toBe('content');
  expect((await cli.done).status).toBe(0);
});

it('loses no request in 1,000 random sequences of steps, goings on and disconnections', async () => {
  let seed = 20261122;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 4294967296) * below);
  };
  // Each program sees what it has written itself, whatever happens in between.
  const load = Array.from({ length: 4 }, (_, i) =>
    run(
      'bash',
      '-euc',
      `mkdir ${at(`w${i}`)}; cd ${at(`w${i}`)}; n=0; while [ ! -e ${host('enough')} ]; do
       n=$((n+1)); echo $n > a; ln a b; [ "$(cat b)" = $n ]; mv b c; [ "$(ls)" = $'a\nc' ]
       rm a; [ "$(cat c)" = $n ]; rm c; ! cat a 2> /dev/null; done; echo $n`,
    ),
  );
  const operations = ['LOOKUP', 'READDIRPLUS', 'CREATE', 'UNLINK', 'FORGET', 'GETATTR', 'READ'];
  const stopped = new Set<number>();
  let stops = 0;
  let leaving = false;
  let noticed: () => void = () => undefined;
  const watch = () => {
    const { client } = session;
    client.on('debug.stopped', ({ request }) => {
      // What still comes on a connection that was closed is nobody's any more.
      if (client !== session.client || leaving) return;
      stops++;
      stopped.add(request);
      noticed();
    });
    client.on('debug.resumed', ({ request }) => {
      stopped.delete(request);
      noticed();
    });
  };
  watch();
  const until = async (enough: () => boolean) => {
    while (!enough()) await new Promise<void>((resolve) => (noticed = resolve));
  };
  const verb = async (): Promise<unknown> => {
    const { client } = session;
    const request = [...stopped][random(stopped.size)];
    switch (random(8)) {
      case 0:
        return session.arm({ operation: operations[random(operations.length)] ?? 'LOOKUP' });
      case 1:
        return session.arm(
          { path: ['a', 'b', 'c', '*'][random(4)] ?? 'a' },
          { decision: 'claimed' },
        );
      case 2:
        return client.call('debug.pause', {});
      case 3:
        return client.call('debug.continue', {});
      default:
        if (request === undefined) return client.call('debug.inspect', {});
        return client.call('debug.step', {
          request,
          how: (['over', 'into', 'out'] as const)[random(3)] ?? 'over',
        });
    }
  };
  const observer = await observe(share.pid);
  const status = () => observer.client.call('status.watch', {});
  for (let sequence = 0; sequence < 1_000; sequence++) {
    await session.client.call('debug.pause', {});
    await until(() => stopped.size > 0);
    for (let i = random(6); i >= 0; i--) {
      // A request may go on by itself before it is told to.
      await verb().catch((error: unknown) => expect(String(error)).toContain('not held'));
    }
    if (random(10) !== 0) {
      await session.arm();
      await session.continue();
      await until(() => stopped.size === 0);
      continue;
    }
    // Another observer sees when the daemon has noticed.
    leaving = true;
    session.close();
    stopped.clear();
    while ((await status()).debugger !== null);
    session = await attach(share.pid);
    leaving = false;
    watch();
  }
  await session.client.call('debug.detach', {});
  fs.writeFileSync(host('enough'), '');
  for (const { done } of load) {
    const { status, stdout, stderr } = await done;
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(Number(stdout)).toBeGreaterThan(3);
  }
  expect(stops).toBeGreaterThanOrEqual(1_000);
  expect(share.log.filter((line) => /wrong|failed inside|refused a reply/.test(line))).toEqual([]);
  // Had a lookup or a forget been lost or served twice, an entry would stay. The kernel forgets all
  // that it has, though not at the first call, and the daemon hears of it later.
  await expect
    .poll(
      async () => {
        must(share, 'cd /; echo 2 > /proc/sys/vm/drop_caches');
        const { entries } = await observer.client.call('snapshot', {});
        return entries.map(({ nodeid }) => nodeid);
      },
      { interval: 500 },
    )
    .toEqual(['1']);
  observer.close();
});

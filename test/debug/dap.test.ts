/**
 * The debug adapter as its clients meet it: `virtiofsd-inspector dap` on stdio, spoken to by a small
 * client of the protocol, against a real daemon on a real mount.
 */

import type { DebugProtocol } from '@vscode/debugprotocol';
import * as fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, onTestFailed } from 'vitest';
import { ruleText } from '../../daemon/adapter/ruleText';
import type { AtBody } from '../../daemon/adapter/messages';
import { observe, run } from '../filesystem/debugSession';
import type { Share } from '../filesystem/harness';
import { must, serve, stopAll } from '../filesystem/harness';
import type { DapClient } from './dapClient';
import { startAdapter } from './dapClient';

let share: Share;
let client: DapClient;
const clients: DapClient[] = [];

const at = (name: string) => path.join(share.mount, name);
const host = (name: string) => path.join(share.shared, name);
const cat = (name: string) => run('cat', at(name));

async function start(): Promise<DapClient> {
  const started = await startAdapter();
  clients.push(started);
  await started.ask('initialize', { adapterID: 'virtiofsd', clientID: 'test' });
  return started;
}

async function attached(more: object = {}): Promise<DapClient> {
  const started = await start();
  await started.ask('attach', { pid: share.pid, ...more });
  await started.event('initialized');
  return started;
}

beforeEach(async () => {
  onTestFailed(() => {
    for (const { log } of clients) console.log(JSON.stringify(log.slice(-12), null, 1));
  });
  share = await serve({ handles: 'prefer' });
  fs.writeFileSync(host('f'), 'content');
});
afterEach(async () => {
  for (const one of clients.splice(0)) {
    one.kill();
    await one.exited;
  }
  await stopAll();
});

const functions = (...names: string[]) => ({ breakpoints: names.map((name) => ({ name })) });

async function stack(threadId: number): Promise<DebugProtocol.StackFrame[]> {
  const { stackFrames } = await client.ask<DebugProtocol.StackTraceResponse>('stackTrace', {
    threadId,
  });
  return stackFrames;
}

/** The words of the line at which the innermost frame stands. */
async function lineText(threadId: number): Promise<string> {
  const [frame] = await stack(threadId);
  const { content } = await client.ask<DebugProtocol.SourceResponse>('source', {
    source: frame?.source,
    sourceReference: frame?.source?.sourceReference,
  });
  return content.split('\n')[(frame?.line ?? 0) - 1]?.trim() ?? '';
}

async function variables(
  reference: number,
  more: object = {},
): Promise<ReadonlyMap<string, DebugProtocol.Variable>> {
  const answer = await client.ask<DebugProtocol.VariablesResponse>('variables', {
    variablesReference: reference,
    ...more,
  });
  return new Map(answer.variables.map((variable) => [variable.name, variable]));
}

async function scopes(threadId: number): Promise<ReadonlyMap<string, DebugProtocol.Scope>> {
  const [frame] = await stack(threadId);
  const answer = await client.ask<DebugProtocol.ScopesResponse>('scopes', { frameId: frame?.id });
  return new Map(answer.scopes.map((scope) => [scope.name, scope]));
}

async function evaluate(expression: string, more: object = {}): Promise<string> {
  const { result } = await client.ask<DebugProtocol.EvaluateResponse>('evaluate', {
    expression,
    context: 'repl',
    ...more,
  });
  return result;
}

async function next(threadId: number, command = 'next') {
  await client.ask(command, { threadId });
  return client.stops.next();
}

it('says what it can, and refuses what it does not know', async () => {
  client = await startAdapter();
  clients.push(client);
  const can = await client.ask<DebugProtocol.InitializeResponse>('initialize', {
    adapterID: 'virtiofsd',
  });
  expect(can).toMatchObject({
    supportsConfigurationDoneRequest: true,
    supportsFunctionBreakpoints: true,
    supportsDataBreakpoints: true,
    supportsRestartRequest: true,
    supportTerminateDebuggee: true,
  });
  expect(can.exceptionBreakpointFilters?.map(({ filter }) => filter)).toEqual([
    ...['fallback', 'stale', 'data', 'errors'],
  ]);
  await expect(client.ask('gotoTargets', {})).rejects.toThrow('does not know the request');
  await expect(client.ask('toString', {})).rejects.toThrow('does not know the request');
  await expect(client.ask('threads')).resolves.toEqual({ threads: [{ id: 1, name: 'requests' }] });
  await expect(client.ask('setFunctionBreakpoints', functions('LOOKUP'))).rejects.toThrow(
    'No daemon is debugged',
  );
  await expect(client.ask('attach', { pid: 1 })).rejects.toThrow('no daemon that can be inspected');
  await expect(client.ask('attach', { pid: 'x' })).rejects.toThrow('attach: pid');
  await expect(client.ask('attach', { pid: 7, url: 'ws://x' })).rejects.toThrow('give one of');
  await expect(client.ask('launch', {})).rejects.toThrow('launch: sharedDir');
  // A message in pieces, and two in one.
  const threads = '{"seq":1000,"type":"request","command":"threads"}';
  const frame = `Content-Length: ${threads.length}\r\n\r\n${threads}`;
  client.write(frame.slice(0, 7));
  client.write(frame.slice(7, 30));
  client.write(frame.slice(30) + frame);
  await expect
    .poll(() => client.log.filter((m) => 'request_seq' in m && m.request_seq === 1000))
    .toHaveLength(2);
  // Every message has a number of its own, and every request one answer.
  const numbers = client.log.map(({ seq }) => seq);
  expect(numbers).toEqual(numbers.map((_, i) => i + 1));
  client.closeInput();
  expect(await client.exited).toBe(0);
});

it('holds a request, shows where it is, and steps through its lookup', async () => {
  fs.mkdirSync(host('sub'));
  fs.writeFileSync(host('g'), 'g\n');
  const keeper = run('sh', '-c', `exec 3>>${at('g')}; echo ready; exec sleep 600`);
  expect(await keeper.prints()).toBe('ready');
  client = await attached();
  await client.event('virtiofsd/target', ({ pid }: { pid: number }) => pid === share.pid);
  const { breakpoints } = await client.ask<DebugProtocol.SetFunctionBreakpointsResponse>(
    'setFunctionBreakpoints',
    functions('LOOKUP f', 'NONSENSE', ''),
  );
  expect(breakpoints.map(({ verified }) => verified)).toEqual([true, false, false]);
  expect(breakpoints[1]?.message).toContain('There is no operation NONSENSE');
  await client.ask('configurationDone');
  const held = cat('f');
  const stop = await client.stops.next();
  expect(stop).toMatchObject({
    reason: 'function breakpoint',
    allThreadsStopped: false,
    hitBreakpointIds: [breakpoints[0]?.id],
    text: 'LOOKUP f: received.',
  });
  const threadId = stop.threadId ?? 0;
  const { threads } = await client.ask<DebugProtocol.ThreadsResponse>('threads');
  expect(threads.map(({ name }) => name)).toEqual([
    expect.stringMatching(/^LOOKUP f \(request 1 of process \d+\)$/),
  ]);
  // Others are served meanwhile; only the directory's own lock keeps from changing it.
  expect(must(share, 'cat g; echo made > sub/new; cat sub/new')).toBe('g\nmade');
  expect(held.running).toBe(true);

  const seen: string[][] = [];
  for (;;) {
    const frames = await stack(threadId);
    seen.push([await lineText(threadId), ...frames.map(({ name }) => name)]);
    if (seen.length === 9) break;
    const after = await next(threadId);
    expect(after).toMatchObject({ reason: 'step', threadId });
  }
  expect(seen).toEqual([
    ['answer = work(op)', 'serve LOOKUP f'],
    [
      'fd = openat2(parent, name, O_PATH | O_NOFOLLOW, RESOLVE_IN_ROOT)',
      ...['lookup f', 'serve LOOKUP'],
    ],
    ['ids, mode, nlink, btime = statx(fd)', 'lookup f', 'serve LOOKUP'],
    ['handle = name_to_handle_at(fd)', 'lookup f', 'serve LOOKUP'],
    [
      'if handleErrno not in (0, EOPNOTSUPP, EOVERFLOW): return handleErrno',
      ...['lookup f', 'serve LOOKUP'],
    ],
    ['if byHandle != none:', 'decide', 'lookup f', 'serve LOOKUP'],
    ['if byIds != none:', 'decide', 'lookup f', 'serve LOOKUP'],
    ['return entry', 'insert node 5', 'decide', 'lookup f', 'serve LOOKUP'],
    ['reply(answer or errno)', 'serve LOOKUP f'],
  ]);

  const shown = await scopes(threadId);
  expect([...shown.keys()]).toEqual([
    ...['Candidate', 'Request', 'Entries', 'Open files', 'inodes_by_ids', 'inodes_by_handle'],
  ]);
  const request = await variables(shown.get('Request')?.variablesReference ?? 0);
  expect(request.get('name')?.value).toBe('f');
  expect(request.get('answer')?.value).toBe('5');
  const candidate = await variables(shown.get('Candidate')?.variablesReference ?? 0);
  const ids = await variables(candidate.get('ids')?.variablesReference ?? 0);
  expect(ids.get('ino')?.value).toBe(String(fs.statSync(host('f')).ino));
  const spare = await variables(candidate.get('spare identity')?.variablesReference ?? 0);
  expect(spare.get('btime')?.value).toMatch(/^20\d\d-\d\d-\d\dT[\d:]{8}\.\d{9}Z$/);
  const entries = await variables(shown.get('Entries')?.variablesReference ?? 0);
  expect(entries.get('answer')?.value).toBe('node 5 f, handle, 1 lookup');
  const open = await variables(shown.get('Open files')?.variablesReference ?? 0);
  expect([...open.values()].map(({ value }) => value)).toEqual(['g, writing, appending']);
  const [file] = open.values();
  const about = await variables(file?.variablesReference ?? 0);
  expect(about.get('entry')?.value).toMatch(/^node \d+ g, handle/);
  const table = shown.get('inodes_by_ids');
  expect(table?.indexedVariables).toBeGreaterThanOrEqual(3);
  const reference = table?.variablesReference ?? 0;
  const all = await variables(reference, { filter: 'indexed', start: 0, count: 100 });
  expect(all.get(candidate.get('ids')?.value ?? '')?.value).toBe('node 5 f, handle, 1 lookup');
  const page = await variables(reference, { filter: 'indexed', start: 0, count: 1 });
  expect(page.size).toBe(1);
  expect((await variables(reference, { filter: 'named' })).size).toBe(0);

  const frameId = (await stack(threadId))[0]?.id;
  expect(await evaluate('nlink + 1', { frameId })).toBe('2');
  expect(await evaluate('name == "f" && hit == "miss"', { frameId })).toBe('true');
  expect(await evaluate('node 5')).toBe('node 5 f, handle, 1 lookup');
  expect(await evaluate('path f')).toBe('node 5 f, handle, 1 lookup');
  expect(await evaluate('path /')).toMatch(/^node 1/);
  expect(await evaluate('path nowhere')).toBe('none');
  expect(await evaluate(`ids ${candidate.get('ids')?.value}`)).toMatch(/^node 5/);
  expect(await evaluate(`handle ${candidate.get('handle')?.value}`)).toMatch(/^node 5/);
  expect(await evaluate('answer', { frameId, context: 'hover' })).toMatch(/^node 5/);
  expect(await evaluate('handleErrno', { frameId, context: 'hover' })).toBe('null');
  await expect(evaluate('nlink +', { frameId })).rejects.toThrow();
  const { targets } = await client.ask<DebugProtocol.CompletionsResponse>('completions', {
    text: 'nl',
    column: 3,
  });
  expect(targets.map(({ label }) => label)).toEqual(['nlink']);
  const calls = await client.ask<DebugProtocol.CompletionsResponse>('completions', {
    text: 'inject open',
    column: 12,
  });
  expect(calls.targets.map(({ label }) => label)).toEqual(['open_by_handle_at=', 'openat=']);
  expect(calls.targets[0]).toMatchObject({ start: 7, length: 4 });
  expect(await evaluate('openFiles')).toBe('1 open');
  keeper.kill();

  await client.ask('continue', { threadId });
  expect((await held.done).stdout).toBe('content');
  await client.event(
    'thread',
    ({ reason, threadId: gone }: DebugProtocol.ThreadEvent['body']) =>
      reason === 'exited' && gone === threadId,
  );
  expect(await client.ask('threads')).toEqual({ threads: [{ id: 1, name: 'requests' }] });
  await expect(client.ask('next', { threadId })).rejects.toThrow('not stopped');
  await expect(evaluate('nlink')).rejects.toThrow('Nothing is stopped');
});

it('the seed scenario: a hard link, ENOMEM, then EOPNOTSUPP', async () => {
  fs.linkSync(host('f'), host('f-link'));
  expect(must(share, 'cat f')).toBe('content');
  client = await attached();
  await client.ask('setExceptionBreakpoints', { filters: ['fallback', 'errors'] });
  await client.ask('configurationDone');

  const fault = { call: 'name_to_handle_at', path: 'f-link', when: { kind: 'next' } };
  await client.ask('virtiofsd/inject', { faults: [{ ...fault, errno: 'ENOMEM' }] });
  const refused = cat('f-link');
  const error = await client.stops.next();
  expect(error).toMatchObject({
    reason: 'exception',
    description: 'Paused on error to the guest',
    text: 'LOOKUP f-link: answers ENOMEM.',
  });
  const info = await client.ask<DebugProtocol.ExceptionInfoResponse>('exceptionInfo', {
    threadId: error.threadId,
  });
  expect(info).toMatchObject({ exceptionId: 'ENOMEM', breakMode: 'always' });
  await client.event('output', ({ output }: DebugProtocol.OutputEvent['body']) =>
    output.includes('Injected: name_to_handle_at has failed with ENOMEM (used up now).'),
  );
  await client.ask('continue', { threadId: error.threadId });
  expect((await refused.done).stderr).toContain('Cannot allocate memory');

  expect(await evaluate('inject name_to_handle_at=EOPNOTSUPP:next@**/f-link')).toContain(
    'name_to_handle_at fails with EOPNOTSUPP',
  );
  await expect(evaluate('inject name_to_handle_at')).rejects.toThrow('A fault is');
  const linked = cat('f-link');
  const fallback = await client.stops.next();
  expect(fallback).toMatchObject({
    reason: 'hazard',
    description: 'Paused on fallback lookup',
    text: 'LOOKUP f-link: the entry found by its ids, node 2, is not believed.',
  });
  const threadId = fallback.threadId ?? 0;
  expect(await lineText(threadId)).toContain('byIds = none');
  await client.event(
    'virtiofsd/at',
    ({ at: place }: AtBody) =>
      place?.nodeid === '2' && place.table === 'inodes_by_ids' && place.accepted === false,
  );
  const out = await next(threadId, 'stepOut');
  expect(out).toMatchObject({ reason: 'step', text: 'LOOKUP f-link: answers node 3.' });
  const entries = await variables((await scopes(threadId)).get('Entries')?.variablesReference ?? 0);
  expect(entries.get('ids key stolen from')?.value).toMatch(/^node 2/);
  await client.ask('continue', { threadId });
  expect((await linked.done).stdout).toBe('content');
  expect(await evaluate('faults')).toContain('(used up)');
  expect(await evaluate('clear')).toBe('Nothing is made to fail.');
});

it('stops at lines of the rule, under conditions, after counts, and says things instead', async () => {
  client = await attached();
  const { sources } = await client.ask<DebugProtocol.LoadedSourcesResponse>('loadedSources');
  const [source] = sources;
  expect(source?.name).toBe('handle-then-fd.lookup');
  const { content } = await client.ask<DebugProtocol.SourceResponse>('source', {
    source,
    sourceReference: source?.sourceReference,
  });
  const lines = content.split('\n');
  const line = lines.findIndex((text) => text.includes('statx(fd)')) + 1;
  const places = await client.ask<DebugProtocol.BreakpointLocationsResponse>(
    'breakpointLocations',
    { source, line: 1, endLine: lines.length },
  );
  expect(places.breakpoints).toHaveLength(ruleText('handle-then-fd').stops.length);
  const set = (breakpoints: DebugProtocol.SourceBreakpoint[], of = source) =>
    client.ask<DebugProtocol.SetBreakpointsResponse>('setBreakpoints', { source: of, breakpoints });
  const elsewhere = await set([{ line: 1 }], { path: '/tmp/x.c' });
  expect(elsewhere.breakpoints[0]).toMatchObject({ verified: false });
  const other = await set([{ line: 1 }], { path: 'virtiofsd:/lookup-rule/strict.lookup' });
  expect(other.breakpoints[0]?.message).toContain('follows the rule handle-then-fd');

  const answer = await set([
    { line: line - 1, condition: 'name == "f"' },
    { line, condition: 'name ==' },
    { line, hitCondition: 'often' },
    { line, logMessage: 'opened {name} in node {parent}' },
  ]);
  expect(answer.breakpoints.map(({ verified }) => verified)).toEqual([true, false, false, true]);
  expect(answer.breakpoints[0]?.line).toBe(line);
  expect(answer.breakpoints[2]?.message).toContain('hit count');
  await client.ask('configurationDone');
  expect(must(share, 'echo g > g; cat g')).toBe('g');
  const held = cat('f');
  const stop = await client.stops.next();
  expect(stop).toMatchObject({ reason: 'breakpoint', text: 'LOOKUP f: opened.' });
  expect((await stack(stop.threadId ?? 0))[0]?.line).toBe(line);
  const logged = await client.event<DebugProtocol.OutputEvent>(
    'output',
    ({ output }) => output === 'opened f in node 1\n',
  );
  expect(logged).toMatchObject({ category: 'console', line });
  await set([]);
  await client.ask('continue', { threadId: stop.threadId });
  expect((await held.done).stdout).toBe('content');

  await client.ask('setFunctionBreakpoints', {
    breakpoints: [{ name: 'MKDIR request', hitCondition: '>= 2' }],
  });
  must(share, 'mkdir one');
  const second = run('mkdir', at('two'));
  const counted = await client.stops.next();
  expect(counted.text).toBe('MKDIR two: received.');
  await client.ask('continue', { threadId: counted.threadId });
  expect((await second.done).status).toBe(0);
});

it('stops when a key changes its owner, and when an entry goes', async () => {
  expect(must(share, 'cat f')).toBe('content');
  client = await attached();
  const of = (name: string, variablesReference?: number) =>
    client.ask<DebugProtocol.DataBreakpointInfoResponse>('dataBreakpointInfo', {
      name,
      ...(variablesReference === undefined ? {} : { variablesReference }),
    });
  expect((await of('nlink')).dataId).toBeNull();
  const entry = await of('node 2');
  expect(entry.dataId).not.toBeNull();
  const { variablesReference } = await client.ask<DebugProtocol.EvaluateResponse>('evaluate', {
    expression: 'inodes_by_ids',
  });
  const table = await variables(variablesReference);
  const [key] = [...table.values()].filter(({ value }) => value.startsWith('node 2'));
  const info = await of(key?.name ?? '', variablesReference);
  expect(info.accessTypes).toEqual(['write']);
  const { breakpoints } = await client.ask<DebugProtocol.SetDataBreakpointsResponse>(
    'setDataBreakpoints',
    { breakpoints: [{ dataId: info.dataId }, { dataId: 'nonsense' }] },
  );
  expect(breakpoints.map(({ verified }) => verified)).toEqual([true, false]);
  await client.ask('configurationDone');
  // On ext4 the next file gets the number that has just become free.
  fs.rmSync(host('f'));
  fs.writeFileSync(host('f2'), 'other');
  const held = cat('f2');
  const stop = await client.stops.next();
  expect(stop).toMatchObject({ reason: 'data breakpoint', text: 'LOOKUP f2: inserted as node 3.' });
  await client.ask('continue', { threadId: stop.threadId });
  expect((await held.done).stdout).toBe('other');
});

/**
 * Makes a file with the number of one that was removed. The guest's kernel closes a file some time
 * after its last user has ended, and only then the number is free; until then others are used up.
 */
async function makeWithNumber(name: string, ino: number, content: string): Promise<void> {
  let tries = 0;
  const made = () => {
    const attempt = host(`${name}-try-${tries++}`);
    fs.writeFileSync(attempt, content);
    if (fs.statSync(attempt).ino === ino) fs.renameSync(attempt, host(name));
    return fs.existsSync(host(name));
  };
  await expect.poll(made).toBe(true);
}

it('stops at a stale-ID hazard that satisfies the filter’s condition', async () => {
  client = await attached();
  const options = [{ filterId: 'stale', condition: 'name == "second"' }];
  const { breakpoints } = await client.ask<DebugProtocol.SetExceptionBreakpointsResponse>(
    'setExceptionBreakpoints',
    { filters: ['data'], filterOptions: options },
  );
  expect(breakpoints?.map(({ verified }) => verified)).toEqual([true, true]);
  await client.ask('configurationDone');
  const { ino } = fs.statSync(host('f'));
  expect(must(share, 'cat f')).toBe('content');
  fs.rmSync(host('f'));
  await makeWithNumber('first', ino, '1');
  expect(must(share, 'cat first')).toBe('1');
  fs.rmSync(host('first'));
  await makeWithNumber('second', ino, '2');
  const held = cat('second');
  const stop = await client.stops.next();
  expect(stop).toMatchObject({
    reason: 'hazard',
    description: 'Paused on stale-ID hazard',
    text: 'LOOKUP second: inserted as node 4.',
  });
  const info = await client.ask<DebugProtocol.ExceptionInfoResponse>('exceptionInfo', {
    threadId: stop.threadId,
  });
  expect(info.description).toContain('INODE-NUMBER REUSE');
  await client.ask('continue', { threadId: stop.threadId });
  expect((await held.done).stdout).toBe('2');
});

it('shows two held requests, of which the older one waits for the other', async () => {
  fs.mkdirSync(host('d'));
  fs.writeFileSync(host('d/a'), 'a');
  expect(must(share, 'stat -c %F d')).toBe('directory');
  client = await attached();
  await client.ask('setFunctionBreakpoints', functions('LOOKUP f', 'LOOKUP d/a'));
  await client.ask('configurationDone');
  const older = cat('f');
  const first = await client.stops.next();
  const newer = cat('d/a');
  const second = await client.stops.next();
  expect(second.text).toBe('LOOKUP d/a: received.');
  const { threads } = await client.ask<DebugProtocol.ThreadsResponse>('threads');
  expect(threads.map(({ name }) => name)).toEqual([
    expect.stringMatching(/^LOOKUP f /),
    expect.stringMatching(/^LOOKUP d\/a /),
  ]);
  await client.ask('continue', { threadId: first.threadId });
  await client.event('output', ({ output }: DebugProtocol.OutputEvent['body']) =>
    output.includes('Request 1 goes on when those stopped after it have'),
  );
  const inside = await next(second.threadId ?? 0, 'stepIn');
  expect(inside).toMatchObject({ threadId: second.threadId, reason: 'step' });
  expect((await stack(second.threadId ?? 0)).map(({ name }) => name)[0]).toBe('lookup a');
  expect(older.running).toBe(true);
  await client.ask('continue', { threadId: second.threadId });
  expect((await newer.done).stdout).toBe('a');
  expect((await older.done).stdout).toBe('content');
});

it('stops when the guest holds too many descriptors, and at an errno', async () => {
  const pinning = await serve({ handles: 'never' });
  const there = (name: string) => path.join(pinning.mount, name);
  for (const name of ['a', 'b']) fs.writeFileSync(path.join(pinning.shared, name), name);
  const observer = await observe(pinning.pid);
  const descriptors = async () => (await observer.client.call('status.watch', {})).counters.fds;
  // The root's is held from the beginning: the mark is between it and the next.
  await expect.poll(async () => (await descriptors()).used).toBe('1');
  const mark = 150 / Number((await descriptors()).limit);
  observer.close();
  client = await start();
  await client.ask('attach', { pid: pinning.pid });
  const { breakpoints } = await client.ask<DebugProtocol.SetFunctionBreakpointsResponse>(
    'setFunctionBreakpoints',
    functions(`LOOKUP fds=${mark}`, 'errno=ENOENT', 'fds=101', 'LOOKUP f g'),
  );
  expect(breakpoints.map(({ verified }) => verified)).toEqual([true, true, false, false]);
  expect(breakpoints[3]?.message).toContain('one word too many');
  await client.ask('configurationDone');
  // The first entry holds a descriptor; it is the next lookup that finds it held.
  const both = run('sh', '-c', `cat ${there('a')} ${there('b')}; cat ${there('nowhere')}`);
  const above = await client.stops.next();
  expect(above).toMatchObject({
    text: 'LOOKUP b: received.',
    hitBreakpointIds: [breakpoints[0]?.id],
  });
  await client.ask('continue', { threadId: above.threadId });
  const missing = await client.stops.next();
  expect(missing).toMatchObject({
    text: 'LOOKUP nowhere: answers ENOENT.',
    hitBreakpointIds: [breakpoints[1]?.id],
  });
  await client.ask('continue', { threadId: missing.threadId });
  expect((await both.done).stdout).toBe('ab');
});

it('pauses, goes into listed names, and begins again', async () => {
  client = await attached({ stopOnEntry: true });
  await client.ask('configurationDone');
  const listing = run('ls', share.mount);
  const entry = await client.stops.next();
  expect(entry.reason).toBe('entry');
  const threadId = entry.threadId ?? 0;
  await client.ask('setFunctionBreakpoints', functions('READDIRPLUS request'));
  await client.ask('continue', { threadId });
  const reading = await client.stops.next();
  expect(reading.text).toMatch(/^READDIRPLUS/);
  const inside = await next(reading.threadId ?? 0, 'stepIn');
  expect(inside.text).toMatch(/^READDIRPLUS .*its directory is node 1/);
  expect((await stack(inside.threadId ?? 0)).map(({ name }) => name)[1]).toBe('serve READDIRPLUS');
  const out = await next(inside.threadId ?? 0, 'stepOut');
  expect(out.text).toMatch(/^READDIRPLUS.*answers/);

  await client.ask('restart');
  expect((await listing.done).stdout).toContain('f');
  // What was armed is armed again; the pause of the beginning comes first.
  const again = run('ls', share.mount);
  expect((await client.stops.next()).reason).toBe('entry');
  await client.ask('disconnect', { terminateDebuggee: false });
  expect((await again.done).status).toBe(0);
  expect(await client.exited).toBe(0);
  expect(must(share, 'cat f')).toBe('content');
});

it('leaves nothing held when it is killed, and has one debugger a daemon', async () => {
  const other = await serve({ handles: 'prefer' });
  fs.writeFileSync(path.join(other.shared, 'f'), 'elsewhere');
  client = await attached();
  await expect(attached()).rejects.toThrow('there can be one debugger at a time');
  const second = await start();
  await second.ask('attach', { pid: other.pid });
  await second.ask('setFunctionBreakpoints', functions('LOOKUP f'));
  await client.ask('setFunctionBreakpoints', functions('LOOKUP f'));
  const [here, there] = [cat('f'), run('cat', path.join(other.mount, 'f'))];
  await Promise.all([client.stops.next(), second.stops.next()]);
  const observer = await observe(share.pid);
  expect((await observer.client.call('status.watch', {})).debugger).toMatchObject({
    client: 'virtiofsd-inspector debug adapter',
    held: 1,
  });
  observer.close();
  const killed = performance.now();
  client.kill('SIGKILL');
  expect((await here.done).stdout).toBe('content');
  expect(performance.now() - killed).toBeLessThan(10_000);
  expect(there.running).toBe(true);
  second.closeInput();
  expect((await there.done).stdout).toBe('elsewhere');
  expect(await second.exited).toBe(0);
});

it('lets go of what is held when its client hangs', async () => {
  client = await attached({ timeout: 1 });
  await client.ask('setFunctionBreakpoints', functions('LOOKUP f'));
  const held = cat('f');
  await client.stops.next();
  client.kill('SIGSTOP');
  const stopped = performance.now();
  expect((await held.done).stdout).toBe('content');
  expect(performance.now() - stopped).toBeLessThan(11_000);
  client.kill('SIGCONT');
  await client.event('terminated');
  await client.event('output', ({ output }: DebugProtocol.OutputEvent['body']) =>
    output.includes('not heard of for 1 seconds'),
  );
});

it('starts a daemon, begins again with it, and ends it', async () => {
  const folder = fs.mkdtempSync(path.join(path.dirname(share.mount), 'launched-'));
  client = await start();
  await expect(
    client.ask('launch', { sharedDir: path.join(folder, 'nowhere'), mount: folder }),
  ).rejects.toThrow('cannot be used');
  await client.ask('launch', { sharedDir: share.shared, mount: folder, args: ['--allow-other'] });
  await client.event('initialized');
  const first = await client.event<DebugProtocol.ProcessEvent>('process');
  expect(first.startMethod).toBe('launch');
  await client.ask('setFunctionBreakpoints', functions('LOOKUP f'));
  await client.ask('configurationDone');
  await client.ask('restart');
  const second = await client.event<DebugProtocol.ProcessEvent>('process');
  expect(second.systemProcessId).not.toBe(first.systemProcessId);
  const held = run('cat', path.join(folder, 'f'));
  await client.stops.next();
  await client.ask('terminate');
  await client.event('terminated');
  expect((await held.done).status).not.toBeNull();
  expect(fs.readFileSync('/proc/self/mounts', 'utf8')).not.toContain(folder);
  await client.ask('disconnect');
  expect(await client.exited).toBe(0);
  fs.rmdirSync(folder);
});

it('says so when the daemon ends', async () => {
  client = await attached();
  await client.ask('setFunctionBreakpoints', functions('LOOKUP f'));
  const held = cat('f');
  await client.stops.next();
  await share.stop();
  await held.done;
  await client.event('terminated');
  await expect(client.ask('pause', { threadId: 1 })).rejects.toThrow('No daemon is debugged');
});

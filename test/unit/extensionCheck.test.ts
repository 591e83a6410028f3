/** «Check a Folder»: running the program, and its report as Markdown. A script stands in for it. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkFolder } from '../../extension/core/checkFolder';
import { checkMarkdown } from '../../extension/core/checkMarkdown';
import { mountFactsOf, reportOf } from './checkFacts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'check-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function runs(script: string, signal = new AbortController().signal) {
  const program = path.join(folder, 'program.js');
  await writeFile(program, script);
  const request = { node: process.execPath, program, folder: '/srv/--odd' };
  return checkFolder(request, { ...process.env, NODE_OPTIONS: '--bogus' }, signal);
}

test('the program is asked for JSON about the folder', async () => {
  const report = reportOf([mountFactsOf()]);
  const script = `console.log(JSON.stringify({ ...${JSON.stringify(report)}, directory: process.argv.slice(2).join(' ') }))`;
  await expect(runs(script)).resolves.toMatchObject({
    directory: 'check --json -- /srv/--odd',
    verdict: { level: 'good' },
  });
});

test('its own sentence is the error, and a foreign report is refused', async () => {
  const said = `console.error('virtiofsd-inspector: /srv/x cannot be checked (ENOENT).'); process.exit(1)`;
  await expect(runs(said)).rejects.toThrow(/^\/srv\/x cannot be checked \(ENOENT\)\.$/);
  await expect(runs('process.exit(3)')).rejects.toThrow(/Command failed/);
  await expect(runs(`console.log('{"check":2}')`)).rejects.toThrow(/another version/);
});

test('a cancelled check ends', async () => {
  const cancel = new AbortController();
  const running = runs('setInterval(() => undefined, 1000)', cancel.signal);
  cancel.abort();
  await expect(running).rejects.toThrow(/abort/i);
});

test('the report as Markdown: headings, options, tables, findings', () => {
  const markdown = checkMarkdown(reportOf([mountFactsOf({ type: 'btrfs' })]));
  expect(markdown).toMatch(
    /^# Check of `\/srv\/share`\n\n\*\*Good\.\*\* It can be shared, with `--inode-file-handles=prefer`\.\n/,
  );
  expect(markdown).toContain('| Option | Why |\n| --- | --- |\n| `--inode-file-handles=prefer` | ');
  expect(markdown).toContain(
    'virtiofsd \\\n  --shared-dir /srv/share \\\n  --socket-path SOCKET \\\n  --inode-file-handles=prefer\n```',
  );
  expect(markdown).toContain('> **H11 UNPINNED ALIAS** · wrong data, with never\n');
  expect(markdown).toContain('| Handles | yes, and they open (type 1, 8 bytes) |');
});

test('nothing of a path is taken for Markdown', () => {
  const odd = mountFactsOf({
    role: 'below',
    path: '/srv/share/a|`b`*c*<i>',
    source: 'x_y_<b>|[z](w)',
    mountPointEscaped: '/srv/share/a\\040b',
    escapes: { below: true, anywhere: true },
    numbers: { state: 'not_tried', why: 'of a|b' },
    ...{ mntId: '75', device: '0:41' },
  });
  const markdown = checkMarkdown(reportOf([mountFactsOf(), odd]));
  expect(markdown).toContain('## ``/srv/share/a|`b`*c*<i>``\n');
  expect(markdown).toContain('on x\\_y\\_\\<b\\>|\\[z\\](w)');
  expect(markdown).toContain('as /srv/share/a\\\\040b.');
  expect(markdown).toContain('| Numbers | not tried: of a\\|b |');
  const rows = markdown.split('\n').filter((line) => line.startsWith('|'));
  // Two cells each: three bars that no backslash precedes.
  for (const row of rows) expect(row.match(/(?<!\\)\|/g), row).toHaveLength(3);
});

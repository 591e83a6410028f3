/** A tour as a user takes it: the packed VSIX in a real VS Code, no daemon, no mount. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { packageExtension } from '../../scripts/package.mjs';
import { startWorkbench } from './workbench';
import type { Workbench } from './workbench';

let folder: string;
let workbench: Workbench;

beforeAll(async () => {
  const vsix = await packageExtension();
  folder = await mkdtemp(path.join(tmpdir(), 'tour-'));
  workbench = await startWorkbench({ folder, vsix: [vsix] });
}, 400_000);

afterAll(async () => {
  await workbench.stop();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

test('a tour is picked, taken by keyboard and button, and explains its hazards', async () => {
  onTestFailed(async () => console.log(await workbench.logs()));
  const { page } = workbench;
  await workbench.command('virtiofsd Inspector: Take a Tour…');
  const widget = page.locator('.quick-input-widget');
  await widget.locator('.monaco-list-row', { hasText: 'A number comes back' }).waitFor();
  await widget.locator('input').fill('One file, two nodes');
  await widget.locator('.monaco-list-row', { hasText: 'One file, two nodes' }).waitFor();
  await page.keyboard.press('Enter');

  await page.getByRole('tab', { name: 'Key Map: tour S2' }).waitFor();
  const map = await workbench.frameOf('map');
  const place = (text: string) => map.getByTestId('tour-place').getByText(text).waitFor();
  await place('Step 1 of 4');
  await map.getByTestId('tour-next').click();
  await place('Step 2 of 4');
  await map.locator('.row[data-node="3"]').waitFor();
  await workbench.screenshot('tour-dark');
  await map.locator('body').press('n');
  await place('Step 3 of 4');
  await map.locator('body').press('b');
  await place('Step 2 of 4');

  await map.getByTestId('tour').getByRole('button', { name: 'H5', exact: true }).click();
  await page.getByRole('tab', { name: /H5\.md/ }).waitFor();
  // The preview is a document in a document of its own.
  const titles = async () => {
    const frames = page.frames().map((frame) => frame.locator('h1').allInnerTexts());
    const read = await Promise.allSettled(frames);
    return read.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
  };
  await expect.poll(titles).toContain('H5 Duplicate inode');
  await workbench.screenshot('tour-hazard-page');
});

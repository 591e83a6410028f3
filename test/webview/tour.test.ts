/** A tour in bare Chromium: the shipped recording, the real inspector server, the shipped page. */

import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { newToken } from '../../daemon/inspector/access';
import type { InspectorServer } from '../../daemon/inspector/inspectorServer';
import { startInspectorServer } from '../../daemon/inspector/inspectorServer';
import { listenForInspector, parseInspectAddress } from '../../daemon/inspector/listening';
import { readPage } from '../../daemon/inspector/page';
import { readRecording } from '../../daemon/replay/recording';
import { Replay } from '../../daemon/replay/replay';
import { tourGuide } from '../../daemon/replay/tourGuide';
import { loadAddon } from '../../native/index';
import { renderHazardPages } from '../../scripts/hazardPages.mjs';
import {
  fitsInWidth,
  HIGH_CONTRAST_THEMES,
  setHighContrast,
  settled,
  violations,
} from './accessibility';
import type { OpenPage } from './browser';
import { buildPage, launch, openPage, picture, ROOT, UI_LIBRARIES } from './browser';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

describe.each(UI_LIBRARIES)('with %s', (library) => {
  let built: Awaited<ReturnType<typeof buildPage>>;
  let server: InspectorServer;
  let opened: OpenPage;
  let page: Page;

  beforeAll(async () => {
    built = await buildPage(library);
    await renderHazardPages(path.join(ROOT, 'docs/hazards'), path.join(built.dir, 'hazards'));
  });
  afterAll(() => built.remove());

  const serve = async (name: string, withSteps = true): Promise<void> => {
    const { target, tour, events } = readRecording(path.join(ROOT, 'tours', `${name}.jsonl`));
    if (tour === null) throw new Error(`${name} is no tour.`);
    const replay = new Replay({ ...target, pid: process.pid }, events);
    const guide = tourGuide(tour, replay, {
      startOver: () => server.startOver(replay.now.model, replay.now.history),
      moved: () => server.changed(),
    });
    if (!withSteps) replay.playTo(Infinity);
    const complain = (sentence: string) => void complaints.push(sentence);
    server = await startInspectorServer(
      listenForInspector(loadAddon(), parseInspectAddress('')),
      newToken(),
      replay.now.model,
      replay.now.history,
      readPage(built.dir),
      { info: () => undefined, warn: complain },
      null,
      withSteps ? guide : null,
    );
  };
  const complaints: string[] = [];
  const open = async (options: Parameters<typeof openPage>[2] = {}): Promise<void> => {
    opened = await openPage(browser, server.page ?? '', options);
    page = opened.page;
  };
  afterEach(async () => {
    expect(opened.complaints).toEqual([]);
    expect(complaints.splice(0)).toEqual([]);
    await opened.close();
    await server.close('The test is over.');
  });

  const band = () => page.getByTestId('tour');
  const place = (step: number, of: number) =>
    page.getByTestId('tour-place').getByText(`Step ${step} of ${of}`).waitFor();
  const nodes = () =>
    page
      .locator('.row[data-node]')
      .evaluateAll((rows) =>
        rows.map((row) => (row instanceof HTMLElement ? (row.dataset['node'] ?? '') : '')),
      );
  const selected = (nodeid: string) => page.locator('.detail-title', { hasText: `node ${nodeid}` });

  test('leads forth, back and round, by button and key, and shows where to look', async () => {
    await serve('S2');
    await open();
    await place(1, 4);
    await page.getByRole('heading', { name: 'A file with two names' }).waitFor();
    await selected('2').waitFor();
    expect(await nodes()).not.toContain('3');

    await page.getByTestId('tour-next').click();
    await place(2, 4);
    await selected('3').waitFor();
    await page.locator('.hazard-card[data-hazard="H5"]').waitFor();
    expect((await nodes()).slice(0, 2)).toEqual(expect.arrayContaining(['2', '3']));
    await page
      .getByTestId('stat-hazards')
      .locator('[data-severity="identity"]', { hasText: '2' })
      .waitFor();

    await page.keyboard.press('n');
    await place(3, 4);
    await page.locator('.hazard-card[data-hazard="H10"]').waitFor();
    await page.keyboard.press('n');
    await place(4, 4);
    await expect.poll(nodes).not.toContain('3');

    await page.keyboard.press('b');
    await place(3, 4);
    await page.locator('.hazard-card[data-hazard="H6"]').waitFor();
    await page.keyboard.press('n');
    await place(4, 4);
    await page.getByTestId('tour-next').getByText('Start again').click();
    await place(1, 4);
    await expect.poll(nodes).not.toContain('3');
    await page
      .getByTestId('stat-hazards')
      .locator('[data-severity="identity"]', { hasText: '0' })
      .waitFor();

    await band().getByRole('button', { name: 'node 2' }).click();
    await selected('2').waitFor();
  });

  test('is where it was after a reload, and the same for all who watch', async () => {
    await serve('S1');
    await open();
    await place(1, 5);
    const other = await openPage(browser, server.page ?? '');
    await other.page.getByTestId('tour-next').click();
    await place(2, 5);
    await page.keyboard.press('n');
    await other.page.getByTestId('tour-place').getByText('Step 3 of 5').waitFor();
    await page.reload();
    await place(3, 5);
    expect(other.complaints).toEqual([]);
    await other.close();
  });

  test('links to what a hazard is, which the daemon serves', async () => {
    await serve('S1');
    await open();
    for (let step = 1; step < 3; step++) {
      await place(step, 5);
      await page.keyboard.press('n');
    }
    await place(3, 5);
    const [document] = await Promise.all([
      page.context().waitForEvent('page'),
      band().getByRole('link', { name: 'H1', exact: true }).click(),
    ]);
    await document.getByRole('heading', { name: 'H1 Inode-number reuse' }).waitFor();
    await document.getByRole('heading', { name: 'What to do' }).waitFor();
    expect(await violations(document)).toEqual([]);
    if (library === 'toolkit') await picture(document, 'hazard-page');
    await document.getByRole('link', { name: 'H7' }).first().click();
    await document.getByRole('heading', { name: 'H7 by_ids key stolen' }).waitFor();
    await document.getByRole('link', { name: 'All hazards' }).click();
    await document.getByRole('heading', { name: 'Hazards', exact: true }).waitFor();
  });

  test('a recording without steps has no narration', async () => {
    await serve('S1', false);
    await open();
    await page.locator('.row[data-node]').first().waitFor();
    await page.locator('body[data-ready="1"]').waitFor({ state: 'attached' });
    expect(await band().isVisible()).toBe(false);
    await page.keyboard.press('n');
  });

  test.each(['light', 'dark'] as const)('right in %s, and passes axe', async (colorScheme) => {
    await serve('S4');
    await open({ colorScheme });
    for (let step = 1; step < 4; step++) {
      await place(step, 5);
      await page.keyboard.press('n');
    }
    await page.locator('.hazard-card[data-hazard="H5"]').waitFor();
    expect(await violations(page)).toEqual([]);
    for (const [size, viewport] of [
      ['wide', { width: 1280, height: 800 }],
      ['narrow', { width: 700, height: 900 }],
    ] as const) {
      await page.setViewportSize(viewport);
      await settled(page);
      await fitsInWidth(page);
      if (library === 'toolkit') await picture(page, `tour-${colorScheme}-${size}`);
    }
  });

  test.each(HIGH_CONTRAST_THEMES)('right in %s', async (theme) => {
    await serve('S5');
    await open();
    for (let step = 1; step < 3; step++) {
      await place(step, 3);
      await page.keyboard.press('n');
    }
    await place(3, 3);
    await setHighContrast(page, theme);
    await settled(page);
    expect(await violations(page)).toEqual([]);
    if (library === 'toolkit') await picture(page, `tour-${theme.replace('vscode-', '')}`);
  });
});

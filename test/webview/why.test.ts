/** «Why?» in the details: the trace of an entry and of a lookup, with what other rules answer. */

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { WhyJson, WhySubject } from '../../daemon/protocol/why';
import { HIGH_CONTRAST_THEMES, setHighContrast, settled, violations } from './accessibility';
import type { OpenPage } from './browser';
import { buildPage, drawn, launch, openPage, picture, UI_LIBRARIES } from './browser';
import { Peer } from './peer';
import type { Scene } from './scenes';
import { hazardScene, rejectedLookup } from './scenes';

const REUSE: WhyJson = {
  title: 'LOOKUP “f” in node 1 → node 3',
  nodeid: '3',
  traces: [
    {
      seq: '17',
      time: '2026-11-22T06:24:41.113Z',
      title: 'LOOKUP “f” in node 1 → node 3',
      steps: [
        'LOOKUP “f” in node 1 found ids 12/7:0/74 and made handle 74·0c00000022ea51a9 (generation 2840717858).',
        'inodes_by_handle has no such key.',
        'inodes_by_ids leads to node 2, which holds only a handle: rejected, its number may have been reused.',
        'Node 3 was inserted, and took the ids key of node 2.',
      ],
      nodeid: '3',
      errno: null,
      rules: [
        {
          rule: 'handle-then-fd',
          summary: 'by handle; else by ids',
          current: true,
          hit: 'fallback_rejected',
          nodeid: null,
          verdict: 'new_node',
          says: 'a new node, for a new file',
        },
        {
          rule: 'ids-only',
          summary: 'by ids alone (C virtiofsd)',
          current: false,
          hit: 'fallback_hit',
          nodeid: '2',
          verdict: 'wrong_file',
          says: 'node 2, by its ids: another file (generation 3775877637, asked for 2840717858)',
        },
        {
          rule: 'v2',
          summary: 'v2 of the series',
          current: false,
          hit: 'fallback_rejected',
          nodeid: null,
          verdict: 'second_node',
          says: 'a new node, the second for this file beside node 2',
        },
        {
          rule: 'strict',
          summary: 'by handle alone',
          current: false,
          hit: null,
          nodeid: null,
          verdict: 'unknown',
          says: 'not known any more: the entry that the tables named is forgotten',
        },
      ],
      unknown: null,
    },
  ],
  now: 'Node 3 is counted once; inodes_by_ids leads to it, inodes_by_handle leads to it.',
  cause: {
    errno: 'ESTALE',
    kind: 'replaced',
    sentence:
      'The file was deleted on the host, and its inode number 12 belongs to another file now.',
    evidence: ['Event 20: open_by_handle_at failed with ESTALE for node 2 (f).'],
  },
  advice: ['Use `--cache=auto` or `never` if it holds on to the old one too long.'],
  reproduce: 'rm share/f; echo new > share/f\ncat guest/f',
};

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

describe.each(UI_LIBRARIES)('with %s', (library) => {
  let built: Awaited<ReturnType<typeof buildPage>>;
  let peer: Peer;
  let opened: OpenPage;
  let page: Page;
  let asked: WhySubject[];

  beforeAll(async () => {
    built = await buildPage(library);
  });
  afterAll(() => built.remove());

  const open = async (
    answer: Scene['why'] = () => REUSE,
    options: Parameters<typeof openPage>[2] = {},
  ): Promise<void> => {
    asked = [];
    const scene: Scene = {
      ...hazardScene(),
      why: (about) => {
        asked.push(about);
        return answer(about);
      },
    };
    peer = await Peer.start(scene, built.dir);
    opened = await openPage(browser, peer.page, options);
    page = opened.page;
    await drawn(page, scene.seq);
  };
  const why = () => page.locator('[data-testid="why"]');
  const answered = () => page.locator('[data-testid="why"][data-state="answered"]').waitFor();
  const select = (nodeid: string) => page.locator(`.row[data-node="${nodeid}"]`).click();
  const showLookup = async (): Promise<void> => {
    peer.scene.lastLookup = rejectedLookup('17');
    peer.push();
    await page.locator('.band[data-seq="17"]').waitFor();
  };

  afterEach(async () => {
    expect(opened.complaints).toEqual([]);
    await opened.close();
    await peer.close();
  });

  test('an entry shows its trace, and each verdict in words', async () => {
    await open();
    await select('3');
    await answered();
    expect(asked).toEqual([{ nodeid: '3' }]);
    expect(await why().locator('.why-steps li').allInnerTexts()).toEqual(REUSE.traces[0]?.steps);
    const verdicts = await why().locator('.verdict-word').allInnerTexts();
    expect(verdicts).toEqual(['✓ right', '✕ wrong file', '≈ second node', '? not known']);
    expect(await why().locator('th[scope="row"]').first().innerText()).toBe(
      'handle-then-fd in force',
    );
    expect(await why().locator('.why-cause').innerText()).toContain('belongs to another file now');
    expect(await why().locator('.why-advice code').allInnerTexts()).toEqual([
      '--cache=auto',
      'never',
    ]);
  });

  test('changes elsewhere leave it as it is, with its focus; only the button asks again', async () => {
    await open();
    await select('3');
    await answered();
    await why().locator('summary').click();
    await why().getByRole('button', { name: 'Copy the commands' }).focus();
    peer.scene.hazards = [];
    peer.push();
    await page.locator('.hazard-card').waitFor({ state: 'detached' });
    expect(await page.locator('.why-shell').getAttribute('open')).not.toBeNull();
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe(
      'Copy the commands',
    );
    expect(asked).toHaveLength(1);
    await why().getByRole('button', { name: 'Ask again' }).click();
    await expect.poll(() => asked).toHaveLength(2);
  });

  test('the commands are copied by keyboard', async () => {
    await open();
    await select('3');
    await answered();
    await why().locator('summary').focus();
    await page.keyboard.press('Enter');
    await why().getByRole('button', { name: 'Copy the commands' }).focus();
    await page.keyboard.press('Enter');
    await expect
      .poll(() => page.evaluate(() => navigator.clipboard.readText()))
      .toBe(REUSE.reproduce);
  });

  test('the last lookup is explained by a button, a key, and closed again', async () => {
    await open();
    await showLookup();
    await page.locator('[data-testid="why-lookup"]').click();
    await answered();
    expect(asked).toEqual([{ seq: '17' }]);
    expect(await page.locator('.detail-title').innerText()).toBe('event 17');
    await page.locator('.detail-body').focus();
    await page.keyboard.press('Escape');
    await page.locator('.detail').waitFor({ state: 'hidden' });
    await page.keyboard.press('w');
    await answered();
    await page.locator('.why-title .reveal').click();
    await expect.poll(() => page.locator('.detail-title').innerText()).toContain('node 3');
    expect(asked.at(-1)).toEqual({ nodeid: '3' });
  });

  test('what cannot be explained says why, and a daemon that knows no «why?» shows none', async () => {
    await open(() => 'Node 3 is not in the tables, and no event of it is kept.');
    await select('3');
    await page.locator('[data-testid="why"][data-state="refused"]').waitFor();
    expect(await why().innerText()).toContain('no event of it is kept');
    delete peer.scene.why;
    await select('2');
    await page.locator('[data-testid="why"][data-state="never"]').waitFor({ state: 'attached' });
    expect(await why().isVisible()).toBe(false);
  });

  test.each(['light', 'dark'] as const)('in %s it passes axe', async (colorScheme) => {
    await open(undefined, { colorScheme });
    await showLookup();
    await page.keyboard.press('w');
    await answered();
    await why().locator('summary').click();
    expect(await violations(page)).toEqual([]);
    if (library === 'toolkit') await picture(page, `why-${colorScheme}`);
  });

  test.each(HIGH_CONTRAST_THEMES)('in %s it passes axe', async (theme) => {
    await open();
    await setHighContrast(page, theme);
    await select('3');
    await answered();
    await settled(page);
    expect(await violations(page)).toEqual([]);
    await why().scrollIntoViewIfNeeded();
    if (library === 'toolkit') await picture(page, `why-${theme.replace('vscode-', '')}`);
  });
});

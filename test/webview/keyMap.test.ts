/**
 * The Key Map in bare Chromium, as the daemon serves it: the shipped page, its content security
 * policy, and a scripted daemon at the other end. Every case runs with both widget libraries.
 */

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  fitsInWidth,
  HIGH_CONTRAST_THEMES,
  setHighContrast,
  settled,
  violations,
} from './accessibility';
import type { OpenPage } from './browser';
import { buildPage, drawn, launch, openPage, picture, UI_LIBRARIES } from './browser';
import { Peer } from './peer';
import type { Scene } from './scenes';
import { emptyScene, entry, handleHit, hazardScene, rejectedLookup, status } from './scenes';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(async () => {
  await browser.close();
});

describe.each(UI_LIBRARIES)('with %s', (library) => {
  let built: Awaited<ReturnType<typeof buildPage>>;
  let peer: Peer;
  let opened: OpenPage;
  let page: Page;

  beforeAll(async () => {
    built = await buildPage(library);
  });
  afterAll(() => built.remove());

  const open = async (
    scene: Scene,
    options: Parameters<typeof openPage>[2] = {},
  ): Promise<void> => {
    peer = await Peer.start(scene, built.dir);
    opened = await openPage(browser, peer.page, options);
    page = opened.page;
  };
  const openDrawn = async (
    scene: Scene = hazardScene(),
    options: Parameters<typeof openPage>[2] = {},
  ): Promise<void> => {
    await open(scene, options);
    await drawn(page, scene.seq);
    // The overview is a second request; with it everything has been asked for.
    await page.locator(`.overview[data-rows="${scene.cells.length}"]`).waitFor();
  };

  afterEach(async () => {
    // Also: nothing was refused by the policy and nothing threw.
    expect(opened.complaints).toEqual([]);
    await opened.close();
    await peer.close();
  });

  const row = (nodeid: string) => page.locator(`.row[data-node="${nodeid}"]`);
  const edge = (nodeid: string, side: 'ids' | 'handle') =>
    page.locator(`path.edge[data-node="${nodeid}"][data-side="${side}"]`);
  const next = async (change: (scene: Scene) => void): Promise<void> => {
    change(peer.scene);
    peer.push();
    await drawn(page, peer.scene.seq);
  };
  const attribute = async (nodeid: string, side: 'ids' | 'handle', name: string) =>
    (await edge(nodeid, side).getAttribute(name)) ?? '';

  describe('the map', () => {
    beforeEach(() => openDrawn());

    test('draws a healthy entry as one straight horizontal line', async () => {
      await page.locator('[data-directory="102"]').click();
      await row('1200').waitFor();
      for (const side of ['ids', 'handle'] as const) {
        const path = await attribute('1200', side, 'd');
        const [, y1, y2] = /^M[\d.]+ ([\d.]+)L[\d.]+ ([\d.]+)$/.exec(path) ?? [];
        expect(y1, path).toBeDefined();
        expect(y1).toBe(y2);
      }
      const ids = await row('1200').locator('.ids').boundingBox();
      const card = await row('1200').locator('.card').boundingBox();
      const line = await edge('1200', 'ids').boundingBox();
      const middle = (box: { y: number; height: number } | null) => box!.y + box!.height / 2;
      expect(Math.abs(middle(line) - middle(card))).toBeLessThan(2);
      expect(line!.x).toBeGreaterThan(ids!.x + ids!.width);
      expect(line!.x + line!.width).toBeLessThanOrEqual(card!.x + 1);
    });

    test('draws a stolen key as a dashed ghost from its owner, and says who took it when', async () => {
      expect(await attribute('2', 'ids', 'class')).toContain('ghost');
      const path = await attribute('2', 'ids', 'd');
      expect(path).toContain('Q');
      const owner = await row('3').boundingBox();
      const robbed = await row('2').boundingBox();
      const ghost = await edge('2', 'ids').boundingBox();
      expect(ghost!.y).toBeLessThan(owner!.y + owner!.height);
      expect(ghost!.y + ghost!.height).toBeGreaterThan(robbed!.y);
      const dash = await edge('2', 'ids').evaluate((e) => getComputedStyle(e).strokeDasharray);
      expect(dash).not.toBe('none');
      await next((scene) => (scene.lastLookup = null));
      await page.locator('[data-testid="pin"]').waitFor();
      expect(await row('2').locator('.ids').innerText()).toContain('stolen by 3 at 06:24:41');
    });

    test('ends a ghost in a labelled stub when the owner is out of sight', async () => {
      expect(await attribute('12', 'ids', 'class')).toContain('stub');
      expect(await page.locator('.stub-label').innerHTML()).toBe('→ node 9000');
    });

    test('shows a lost key as an empty socket, and the lack of a handle with its reason', async () => {
      expect(await edge('9', 'ids').count()).toBe(0);
      expect(await page.locator('circle.socket[data-node="9"]').count()).toBe(1);
      expect(await row('9').locator('.ids').innerText()).toContain('key lost with node 2');
      expect(await row('9').locator('.handle').innerText()).toBe('(none: EOPNOTSUPP)');
    });

    test('keeps a reuse group together and marks what a probe found', async () => {
      const tops = await Promise.all(['3', '2', '31'].map((id) => row(id).boundingBox()));
      expect(tops[1]!.y - tops[0]!.y).toBe(30);
      expect(await row('2').getAttribute('class')).toContain('same-ids');
      expect(await row('31').getAttribute('class')).not.toContain('same-ids');
      expect(await row('2').locator('.probe').innerText()).toBe('† ESTALE');
    });

    test('uses red for wrong data alone', async () => {
      const red = await page.evaluate(() => {
        const probe = document.body.appendChild(document.createElement('i'));
        probe.style.color = 'var(--red)';
        const color = getComputedStyle(probe).color;
        probe.remove();
        return color;
      });
      const fills = await page
        .locator('.badge .severity path')
        .evaluateAll((paths) =>
          paths.map((path) => [
            path.parentElement?.classList.contains('data') ?? false,
            getComputedStyle(path).fill,
            getComputedStyle(path).stroke,
          ]),
        );
      expect(fills.length).toBeGreaterThan(5);
      for (const [data, fill, stroke] of fills) {
        expect(fill === red || stroke === red).toBe(data);
      }
    });

    test('folds and unfolds a directory by click, Enter and arrows', async () => {
      const directory = page.locator('[data-directory="103"]');
      expect(await directory.innerText()).toMatch(/46\s*healthy entries in\s*src\/lib/);
      await directory.click();
      await page.locator('body[data-total="60"]').waitFor({ state: 'attached' });
      expect(await directory.getAttribute('aria-expanded')).toBe('true');
      expect(peer.watched()?.unfolded).toEqual(['103']);
      await page.locator('.grid').focus();
      await page.keyboard.press('ArrowLeft');
      await page.locator('body[data-total="14"]').waitFor({ state: 'attached' });
      await page.keyboard.press('ArrowRight');
      await page.locator('body[data-total="60"]').waitFor({ state: 'attached' });
      await page.keyboard.press('Enter');
      await page.locator('body[data-total="14"]').waitFor({ state: 'attached' });
    });

    test('asks for other rows when it is scrolled', async () => {
      await page.locator('[data-directory="106"]').click();
      await page.locator('[data-directory="103"]').click();
      await page.locator('body[data-total="91"]').waitFor({ state: 'attached' });
      await page.locator('.grid').hover();
      await page.mouse.wheel(0, 3_000);
      await row('1630').waitFor();
      expect(await row('1630').isVisible()).toBe(true);
      expect(await row('3').isVisible()).toBe(false);
    });

    test('moves rows that change their place, and keeps the cursor with its row', async () => {
      await page.locator('.grid').focus();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowDown');
      await expect.poll(() => row('31').getAttribute('class')).toContain('cursor');
      await next((scene) => {
        scene.attention.unshift(
          entry({ nodeid: '77', path: 'new', ino: '99', attention: true, fresh: true }),
        );
      });
      expect(await row('77').getAttribute('class')).toContain('fresh');
      expect(await row('31').getAttribute('class')).toContain('cursor');
      expect(await page.locator('.grid').getAttribute('aria-activedescendant')).toBe('row-n31');
    });
  });

  describe('the newest lookup', () => {
    test('is explained in words, lights its path and crosses out what was refused', async () => {
      await openDrawn({ ...hazardScene(), lastLookup: null });
      expect(await page.locator('.band').innerText()).toContain('No lookup yet');
      await next((scene) => (scene.lastLookup = rejectedLookup(String(scene.seq + 1))));
      await row('3').and(page.locator('.answered')).waitFor();
      expect((await page.locator('[data-testid="sentence"]').innerText()).trim()).toBe(
        'LOOKUP “f” in node 1 → node 3: handle unknown; ids 12/7:0/74 belong to node 2, which holds only a handle, so it is refused; new entry.',
      );
      expect(await attribute('2', 'ids', 'class')).toContain('refused');
      expect(await page.locator('path.cross[data-node="2"]').count()).toBe(1);
      expect(await row('2').locator('.refusal').innerText()).toBe(
        'by ids: node 2 holds no descriptor, refused',
      );
      if (library === 'toolkit') await picture(page, 'rejected');
    });

    test('lights the accepted edge of a handle hit', async () => {
      await openDrawn({ ...hazardScene(), lastLookup: null });
      await next((scene) => (scene.lastLookup = handleHit(String(scene.seq + 1), '4', 'foo.txt')));
      await page.locator('.grid path.edge.lit').waitFor({ state: 'attached' });
      expect(await attribute('4', 'handle', 'class')).toContain('lit');
      expect(await attribute('4', 'ids', 'class')).not.toContain('lit');
    });

    test('stays while it is pinned, and is sampled when lookups rush', async () => {
      await openDrawn();
      await page.keyboard.press('l');
      await page.locator('.band.pinned').waitFor();
      await next((scene) => (scene.lastLookup = handleHit('900', '4', 'foo.txt')));
      expect(await page.locator('.band').getAttribute('data-seq')).toBe('120');
      await page.keyboard.press('l');
      await next((scene) => (scene.lastLookup = handleHit('901', '4', 'foo.txt')));
      await page.locator('.band[data-seq="901"]').waitFor();

      await page.evaluate(() => {
        const band = document.querySelector('.band');
        if (band === null) return;
        document.body.dataset['bands'] = '0';
        new MutationObserver((changes) => {
          const count = Number(document.body.dataset['bands']) + changes.length;
          document.body.dataset['bands'] = String(count);
        }).observe(band, { attributes: true, attributeFilter: ['data-seq'] });
      });
      const began = performance.now();
      for (let lookup = 0; lookup < 60; lookup++) {
        await next((scene) => (scene.lastLookup = handleHit(String(1_000 + lookup), '4', 'x')));
      }
      // The newest is shown in the end, whatever was left out before.
      await page.locator('.band[data-seq="1059"]').waitFor();
      const shown = Number(await page.evaluate(() => document.body.dataset['bands']));
      expect(shown).toBeGreaterThan(0);
      expect(shown).toBeLessThanOrEqual(Math.ceil((performance.now() - began) / 200) + 1);
    });
  });

  describe('finding', () => {
    beforeEach(() => openDrawn());

    test('searches as one types, and says when nothing matches', async () => {
      await page.keyboard.press('/');
      await page.keyboard.type('src/lib/codec/');
      await page.locator('body[data-total="3"]').waitFor({ state: 'attached' });
      await page.keyboard.press('Escape');
      await page.locator('body[data-total="14"]').waitFor({ state: 'attached' });
      for (const [query, nodeid] of [
        ['ino 44', '12'],
        ['node 31', '31'],
        ['handle 1400', '4'],
      ] as const) {
        await page.keyboard.press('/');
        await page.keyboard.type(query);
        await page.locator('body[data-total="1"]').waitFor({ state: 'attached' });
        expect(await row(nodeid).isVisible()).toBe(true);
        await page.keyboard.press('Escape');
        await page.locator('body[data-total="14"]').waitFor({ state: 'attached' });
      }
      await page.keyboard.press('/');
      await page.keyboard.type('zebra');
      const screen = page.locator('[data-screen="no-match"]');
      await screen.waitFor();
      expect(await screen.innerText()).toContain('No entry matches “zebra”');
      if (library === 'toolkit') await picture(page, 'no-match');
      await page.locator('[data-testid="clear-search"]').click();
      await page.locator('body[data-total="14"]').waitFor({ state: 'attached' });
    });

    test('walks by keyboard', async () => {
      await page.locator('.grid').focus();
      const active = () => page.locator('.grid').getAttribute('aria-activedescendant');
      await page.keyboard.press('End');
      await expect.poll(active).toBe('row-d106');
      await page.keyboard.press('Home');
      await expect.poll(active).toBe('row-n3');
      await page.keyboard.press('PageDown');
      await expect.poll(active).toBe('row-d106');
      await page.keyboard.press('PageUp');
      await expect.poll(active).toBe('row-n3');
      await page.keyboard.press('h');
      await expect.poll(active).toBe('row-n2');
      await page.keyboard.press('Shift+H');
      await expect.poll(active).toBe('row-n3');
      // Before the first comes the last.
      await page.keyboard.press('Shift+H');
      await expect.poll(active).toBe('row-n12');
      await page.keyboard.press('h');
      await expect.poll(active).toBe('row-n3');
      await page.keyboard.press('Enter');
      await page.locator('[data-testid="detail"]').waitFor();
      await page.keyboard.press('Escape');
      await page.locator('[data-testid="detail"]').waitFor({ state: 'hidden' });
      await page.keyboard.press('?');
      const help = page.locator('[data-testid="help-dialog"]');
      await help.waitFor();
      if (library === 'toolkit') await picture(page, 'help');
      await page.keyboard.press('Escape');
      await help.waitFor({ state: 'hidden' });
    });

    test('goes to the owner of a stolen key, also into a folded directory', async () => {
      await row('4').locator('.note.stolen').click();
      await expect.poll(() => row('5').getAttribute('class')).toContain('selected');
      await page.keyboard.press('Escape');

      peer.scene.attention[6] = entry({
        nodeid: '12',
        path: 'src/lib/old.ts',
        ino: '44',
        idsKey: { state: 'stolen', owner: '1345', time: null },
        attention: true,
      });
      await next(() => undefined);
      await row('12').locator('.note.stolen').click();
      await expect.poll(() => row('1345').getAttribute('class')).toContain('selected');
      expect(await row('1345').isVisible()).toBe(true);
      // And it stays there when the window is asked for again.
      await page.keyboard.press('Escape');
      await page.locator('.grid').hover();
      await page.mouse.wheel(0, -5_000);
      await row('3').waitFor();
      expect(peer.watched()?.unfolded).toEqual(['103']);
    });

    test('has a row for every entry in words', async () => {
      expect(await row('2').getAttribute('aria-label')).toContain(
        'node 2, handle, f. ids 12/7:0/74: inodes_by_ids leads to node 3, which took the key at 06:24:41. handle 0c00000005520fe1 of mount 74: inodes_by_handle leads here. probe failed with ESTALE. hazard H2 STALE-HANDLE ENTRY, severity error',
      );
    });
  });

  describe('details', () => {
    beforeEach(() => openDrawn());

    test('show values, hazards, history, and follow changes until the entry is forgotten', async () => {
      await row('2').click();
      const detail = page.locator('[data-testid="detail"]');
      await detail.locator('.hazard-card').first().waitFor();
      const text = await detail.innerText();
      for (const part of [
        'node 2',
        'H2 STALE-HANDLE ENTRY',
        'The guest still counts a file',
        '3775877637',
        '0c00000005520fe1',
        'regular file, 0644',
        'inodes_by_ids leads to node 3, which took the key at 06:24:41.',
        'FALLBACK REJECTED',
        '06:20:01',
      ]) {
        expect(text).toContain(part);
      }
      if (library === 'toolkit') await picture(page, 'detail');
      await next((scene) => {
        const at = scene.attention.findIndex(({ entry: { nodeid } }) => nodeid === '2');
        scene.attention.splice(at, 1);
      });
      await detail.locator('.gone-note').waitFor();
      expect(await detail.innerText()).toContain('Node 2 is not in the tables any more');
      await page.locator('[data-testid="detail-close"]').click();
      await detail.waitFor({ state: 'hidden' });
    });

    test('can be copied, value by value and as a row', async () => {
      await row('2').click();
      await page.locator('dd[data-value="handle"] .copy').click();
      const note = page.locator('[data-testid="note"]');
      await expect.poll(() => note.innerText()).toBe('Copied handle.');
      const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
      expect(await clipboard()).toBe('0c00000005520fe1');
      await page.locator('.grid').focus();
      await page.keyboard.press('c');
      await expect.poll(() => note.innerText()).toBe('Copied node 2.');
      expect(await clipboard()).toBe(
        'node 2  handle  f  ids 12/7:0/74  handle 74 1 0c00000005520fe1  stolen by 3 at 06:24:41  probe ESTALE  H2 STALE-HANDLE ENTRY  H1 INODE-NUMBER REUSE  H7 BY_IDS KEY STOLEN',
      );
      await page.keyboard.press('ArrowUp');
      await page.keyboard.press('Control+c');
      expect(await clipboard()).toContain('node 3  handle  f');
    });

    test('are resized by keyboard and pointer', async () => {
      await row('2').click();
      const detail = page.locator('[data-testid="detail"]');
      await detail.locator('.hazard-card').first().waitFor();
      const width = async () => (await detail.boundingBox())!.width;
      const before = await width();
      await page.locator('[data-testid="splitter"]').focus();
      await page.keyboard.press('ArrowLeft');
      await expect.poll(width).toBe(before + 24);
      const border = await page.locator('[data-testid="splitter"]').boundingBox();
      await page.mouse.move(border!.x + 2, border!.y + 100);
      await page.mouse.down();
      await page.mouse.move(border!.x - 98, border!.y + 100);
      await page.mouse.up();
      await expect.poll(width).toBe(before + 124);
    });
  });

  describe('the view', () => {
    test('pauses itself, not the daemon, and says so', async () => {
      await openDrawn();
      await page.locator('[data-testid="pause"]').click();
      await page.locator('body[data-paused="1"]').waitFor({ state: 'attached' });
      const before = peer.scene.seq;
      for (let push = 0; push < 5; push++) peer.push();
      const live = page.locator('[data-testid="live"]');
      await expect.poll(() => live.innerText()).toBe('view paused, 5 events behind');
      expect(await page.evaluate(() => document.body.dataset['seq'])).toBe(String(before));
      await page.keyboard.press('p');
      await drawn(page, peer.scene.seq);
      expect(await live.innerText()).toBe('live');
    });

    test('remembers where it was over a reload', async () => {
      await openDrawn();
      await page.locator('[data-directory="103"]').click();
      await page.locator('body[data-total="60"]').waitFor({ state: 'attached' });
      await page.locator('.grid').hover();
      await page.mouse.wheel(0, 600);
      await row('1310').click();
      await page.locator('[data-testid="detail"] .event').first().waitFor();
      const top = () => page.locator('.grid').evaluate((grid) => grid.scrollTop);
      const before = await top();
      expect(before).toBeGreaterThan(300);
      await page.waitForFunction(
        () => sessionStorage.getItem('virtiofsd-inspector.keyMap')?.includes('"1310"') === true,
      );
      await page.reload();
      await drawn(page, peer.scene.seq);
      await page.locator('[data-testid="detail"] .event').first().waitFor();
      await expect.poll(top).toBe(before);
      expect(await row('1310').getAttribute('class')).toContain('selected');
    });

    test('has a screen for each state', async () => {
      await open(emptyScene());
      const screen = (name: string) => page.locator(`[data-screen="${name}"]`);
      await screen('empty').waitFor();
      expect(await screen('empty').innerText()).toContain(
        'Work in /mnt/share: each name the kernel looks up appears here.',
      );
      if (library === 'toolkit') await picture(page, 'empty');
      peer.silent = true;
      peer.drop('The daemon was stopped.');
      await screen('ended').waitFor();
      expect(await screen('ended').innerText()).toContain('The daemon was stopped.');
      expect(await page.evaluate(() => document.body.dataset['state'])).toBe('ended');
      await page.locator('[data-testid="again"]').click();
      await screen('connecting').waitFor();
      peer.silent = false;
      peer.drop('Try again.');
      await screen('ended').waitFor();
      await page.locator('[data-testid="again"]').click();
      await screen('empty').waitFor();
      await page.goto(`${peer.origin}/?token=secret`);
      await screen('empty').waitFor();
      await page.goto('about:blank');
      await page.goto(peer.origin);
      await expect.poll(() => screen('ended').innerText()).toContain('has no token');
    });

    test('keeps the last picture readable when the daemon ends', async () => {
      await openDrawn();
      peer.drop('The daemon was stopped.');
      const banner = page.locator('[data-testid="banner"]');
      await banner.waitFor();
      expect(await banner.innerText()).toContain('The daemon was stopped. This is the last');
      expect(await row('31').isVisible()).toBe(true);
      if (library === 'toolkit') await picture(page, 'ended');
      await page.locator('[data-testid="banner-again"]').click();
      await banner.waitFor({ state: 'hidden' });
      await next(() => undefined);
    });

    test('shows the numbers of the daemon', async () => {
      await openDrawn();
      const stat = (name: string) => page.locator(`[data-testid="stat-${name}"]`).innerText();
      await expect.poll(() => stat('entries')).toMatch(/118\s+F\s+3\s+H\s+115\s+!\s+0/);
      expect(await stat('fds')).toContain('812 / 1,024');
      expect(await stat('hazards')).toMatch(/1\s*data\s+1\s*error\s+4\s*identity/);
      expect(await stat('lookups')).toMatch(/handle\s*12,345/);
      expect(await stat('mode')).toContain('prefer');
      peer.scene.target = {
        ...peer.scene.target,
        inodeFileHandles: { requested: 'mandatory', effective: 'prefer' },
      };
      await page.reload();
      await expect.poll(() => stat('mode')).toContain('prefer, not mandatory');
    });

    test('announces serious hazards as they open, together', async () => {
      await openDrawn();
      peer.scene.status = status(peer.scene.status.counters.entries, {
        data: 2,
        error: 1,
        identity: 7,
        resource: 0,
        information: 425,
      });
      peer.pushStatus();
      await expect
        .poll(() => page.locator('[data-testid="announcement"]').textContent())
        .toBe(
          '1 new hazard of severity data, 3 new hazards of severity identity. Press h to go to the next.',
        );
    });

    test('moves nothing when motion is unwanted', async () => {
      await openDrawn(hazardScene(), { reducedMotion: 'reduce' });
      const durations = await page.locator('.row, .run, .card').evaluateAll((nodes) =>
        nodes.map((node) => {
          const style = getComputedStyle(node);
          return `${style.transitionDuration} ${style.animationName}`;
        }),
      );
      expect(new Set(durations)).toEqual(new Set(['0s none']));
    });
  });

  describe('looks', () => {
    const SIZES = {
      wide: { width: 1280, height: 800 },
      middle: { width: 932, height: 730 },
      narrow: { width: 700, height: 800 },
    };

    test.each(['light', 'dark'] as const)('right in %s, and passes axe', async (colorScheme) => {
      const scene = hazardScene();
      const sharedDir = '/home/somebody/projects/virtio-fs/workspace/shared-folder';
      scene.target = {
        ...scene.target,
        sharedDir,
        transport: '/dev/fuse on /run/user/1000/mounts/shared-folder-1',
      };
      await openDrawn(scene, { colorScheme });
      await page.locator('[data-directory="102"]').click();
      await next((scene) => (scene.lastLookup = rejectedLookup(String(scene.seq + 1))));
      await row('2').locator('.refusal').waitFor();
      expect(await violations(page)).toEqual([]);
      await row('2').click();
      await page.locator('.hazard-card').first().waitFor();
      expect(await violations(page)).toEqual([]);
      for (const [size, viewport] of Object.entries(SIZES)) {
        await page.setViewportSize(viewport);
        await settled(page);
        await fitsInWidth(page);
        if (library === 'toolkit') await picture(page, `${colorScheme}-${size}-detail`);
      }
      await page.keyboard.press('Escape');
      for (const [size, viewport] of Object.entries(SIZES)) {
        await page.setViewportSize(viewport);
        await settled(page);
        await fitsInWidth(page);
        if (library === 'toolkit') await picture(page, `${colorScheme}-${size}`);
      }
    });

    test.each(HIGH_CONTRAST_THEMES)('right in %s', async (theme) => {
      await openDrawn();
      await setHighContrast(page, theme);
      await next((scene) => (scene.lastLookup = rejectedLookup(String(scene.seq + 1))));
      await row('31').click();
      await page.locator('.detail .event').first().waitFor();
      await settled(page);
      expect(await violations(page)).toEqual([]);
      if (library === 'toolkit') await picture(page, theme.replace('vscode-', ''));
    });
  });
});

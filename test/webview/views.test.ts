/** Number Lanes, Mounts and Budget, and the way between the views, in bare Chromium. */

import type { BrowserContextOptions, Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LanesRequest } from '../../daemon/protocol/lanes';
import type { OpenPage } from './browser';
import { buildPage, drawn, launch, openPage, picture } from './browser';
import { emptyBudget } from './budgetScenes';
import { bar, lane, LANES_NOW, manyLanes } from './laneScenes';
import { HIGH_CONTRAST_THEMES, setHighContrast, settled, violations } from './accessibility';
import { Peer } from './peer';
import type { Scene } from './scenes';
import { hazardScene } from './scenes';

let browser: Browser;
let built: Awaited<ReturnType<typeof buildPage>>;
let peer: Peer;
let opened: OpenPage;
let page: Page;

beforeAll(async () => {
  [browser, built] = await Promise.all([launch(), buildPage('toolkit')]);
});
afterAll(async () => {
  await browser.close();
  built.remove();
});
afterEach(async () => {
  expect(opened.complaints).toEqual([]);
  await opened.close();
  await peer.close();
});

async function open(scene: Scene = hazardScene(), options: BrowserContextOptions = {}) {
  peer = await Peer.start(scene, built.dir);
  opened = await openPage(browser, peer.page, options);
  page = opened.page;
  await drawn(page, scene.seq);
}

async function openLanes(scene?: Scene, options?: BrowserContextOptions): Promise<void> {
  await open(scene, options);
  await page.locator('[data-testid="tab-lanes"]').click();
  await page.locator(`.lanes[data-total="${peer.scene.lanes.length}"]`).waitFor();
}

const tab = (view: string) => page.locator(`[data-testid="tab-${view}"]`);
const chip = (name: string) => page.locator(`[data-testid="lanes-${name}"]`);
const grid = () => page.locator('[data-testid="lanes"]');
const note = () => page.locator('[data-testid="note"]').innerText();
const last = (method: string) =>
  peer.requests.filter((request) => request.method === method).at(-1)?.params;
const request = () => last('lanes.watch') as LanesRequest;
const shownTotal = (total: number) => page.locator(`.lanes[data-total="${total}"]`).waitFor();

/** Where a time of a lane is on the page, while all of the time is shown. */
async function placeOf(index: number, minutesAgo: number, share = 0.5) {
  const box = (await page.locator('.lanes-canvas').boundingBox())!;
  const whole = 9 * 1.02;
  return {
    x: box.x + box.width * (1 - minutesAgo / whole),
    y: box.y + 44 * (index + share),
  };
}

/** How many pixels of the lanes have the colour of wrong data. */
function redPixels(): Promise<number> {
  return page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>('.lanes-canvas')!;
    const copy = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!;
    const probe = canvas.parentElement!.appendChild(document.createElement('i'));
    probe.style.color = 'var(--sev-data)';
    const [red, green, blue] = getComputedStyle(probe).color.match(/\d+/g)!.map(Number);
    probe.remove();
    copy.canvas.width = canvas.width;
    copy.canvas.height = canvas.height;
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at] === red && data[at + 1] === green && data[at + 2] === blue) count++;
    }
    return count;
  });
}

describe('the way between the views', () => {
  test('is a tab, an arrow or a digit, and what is not looked at is not asked for', async () => {
    await open();
    await tab('lanes').click();
    await shownTotal(30);
    expect(await page.locator('[data-testid="grid"]').isVisible()).toBe(false);
    await tab('lanes').press('ArrowRight');
    await page.locator('[data-testid="budget"][data-seq]').waitFor();
    expect(await tab('budget').getAttribute('aria-selected')).toBe('true');
    await expect.poll(() => last('lanes.stop')).toEqual({});
    await page.keyboard.press('1');
    await page.locator('.row[data-node="3"]').waitFor();
    await expect.poll(() => last('budget.stop')).toEqual({});
    await page.keyboard.press('2');
    await shownTotal(30);
    // The daemon counts its windows from 1 again for who comes back.
    peer.scene.lanes = peer.scene.lanes.slice(0, 3);
    peer.pushLanes();
    await shownTotal(3);
  });

  test('leads back to where one was, also after the page was loaded again', async () => {
    await openLanes();
    await chip('sequential').click();
    await shownTotal(26);
    await chip('order').click();
    await grid().focus();
    await page.keyboard.press('+');
    await expect.poll(() => request().from).not.toBeNull();
    const before = request();
    // Saved a moment later.
    await expect
      .poll(() => page.evaluate(() => sessionStorage.getItem('virtiofsd-inspector.keyMap')))
      .toContain('"order":"newest"');
    await expect
      .poll(() => page.evaluate(() => sessionStorage.getItem('virtiofsd-inspector.keyMap')))
      .not.toContain('"domain":null');
    await page.reload();
    await page.locator('.lanes[data-total]').waitFor();
    expect(request()).toMatchObject({
      classes: ['sequential'],
      order: 'newest',
      from: before.from,
      to: before.to,
    });
  });
});

describe('number lanes', () => {
  test('say in words what each lane shows', async () => {
    await openLanes();
    const words = (ino: number) => page.locator(`.lane[data-ino="${ino}"] .lane-words`).innerText();
    expect(await words(257)).toBe('2 wrong answers');
    expect(await words(12)).toMatch(/^reused, old file held 5 min \d+ s$/);
    expect(await words(14)).toBe('reused while held, 1 min 0 s');
    expect(await words(13)).toBe('3 files, one after the other');
    expect(await chip('sequential').innerText()).toMatch(/26\s*harmless/);
    const label = page.locator('.lane[data-ino="12"] [role="rowheader"]');
    expect(await label.getAttribute('aria-label')).toContain('ids 12/7:0/74: reused');
  });

  test('show a wrong answer in red at every zoom, and nothing else', async () => {
    await openLanes();
    await expect.poll(redPixels).toBeGreaterThan(0);
    const time = LANES_NOW - 4 * 60_000;
    const box = (await page.locator('.lanes-canvas').boundingBox())!;
    const width = () => (request().to ?? Infinity) - (request().from ?? -Infinity);
    const y = box.y + 22;
    let { x } = await placeOf(0, 4);
    await page.keyboard.down('Control');
    for (let before = Infinity; before > 200; before = width()) {
      // Zoom at the notch, which stays under the pointer.
      await page.mouse.move(x, y);
      await page.mouse.wheel(0, -600);
      await expect.poll(width).toBeLessThan(before);
      await expect.poll(redPixels).toBeGreaterThan(0);
      x = box.x + (box.width * (time - (request().from ?? 0))) / width();
    }
    await page.keyboard.up('Control');
    await picture(page, 'lanes-zoomed');
    await chip('all').click();
    await expect.poll(() => request().from).toBeNull();
    await chip('sequential').click();
    await shownTotal(26);
    expect(await redPixels()).toBe(0);
  });

  test('tell about a bar, and lead from it to the Key Map', async () => {
    await openLanes();
    const old = await placeOf(1, 7, 0.25);
    await page.mouse.move(old.x, old.y);
    const tip = page.locator('[data-testid="lane-tip"]');
    await expect
      .poll(() => tip.innerText())
      .toContain('Node 2 “f”, handle: holds only a file handle');
    expect(await tip.innerText()).toContain('Generation 3775877637');
    expect(await tip.innerText()).toContain('ESTALE at 06:25:48');
    await page.mouse.click(old.x, old.y);
    await expect
      .poll(() => page.locator('.row[data-node="2"]').getAttribute('class'))
      .toContain('selected');
    expect(await tab('map').getAttribute('aria-selected')).toBe('true');

    await tab('lanes').click();
    await shownTotal(30);
    const forgotten = await placeOf(4, 7);
    await page.mouse.click(forgotten.x, forgotten.y);
    await expect
      .poll(note)
      .toBe('Node 60 tmp/a gen 1 is forgotten: it is not in the tables any more.');
    // Dragging moves the time and opens nothing.
    await page.keyboard.press('Control+Shift+ArrowLeft');
    await page.mouse.move(forgotten.x, forgotten.y);
    await page.keyboard.down('Control');
    await page.mouse.wheel(0, -300);
    await page.keyboard.up('Control');
    await expect.poll(() => request().from).not.toBeNull();
    const { from } = request();
    await page.mouse.down();
    await page.mouse.move(forgotten.x - 120, forgotten.y, { steps: 4 });
    await page.mouse.up();
    await expect.poll(() => request().from).toBeGreaterThan(from ?? Infinity);
    expect(await tab('lanes').getAttribute('aria-selected')).toBe('true');
  });

  test('are walked by keyboard, bar by bar', async () => {
    await openLanes();
    await page.locator('[data-testid="search"]').press('Enter');
    const active = () =>
      page.evaluate(() => {
        const id = document.querySelector('.lanes-grid')?.getAttribute('aria-activedescendant');
        return id === null || id === undefined
          ? ''
          : (document.getElementById(id)?.textContent ?? '');
      });
    await expect.poll(active).toContain('Node 31');
    await page.keyboard.press('ArrowDown');
    await expect.poll(active).toContain('Node 2 “f”');
    await page.keyboard.press('ArrowRight');
    await expect.poll(active).toContain('Node 3 “f”');
    await page.keyboard.press('End');
    await expect.poll(active).toContain('Node 246');
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('-');
    await page.keyboard.press('+');
    await expect.poll(() => request().from).not.toBeNull();
    const { from } = request();
    await page.keyboard.press('Shift+ArrowLeft');
    await expect.poll(() => request().from).toBeLessThan(from ?? -Infinity);
    await page.keyboard.press('0');
    await expect.poll(() => request().from).toBeNull();
    await page.keyboard.press('Enter');
    await expect
      .poll(() => page.locator('.row[data-node="2"]').getAttribute('class'))
      .toContain('selected');
  });

  test('are chosen by kind, by search and by a stretch of time', async () => {
    await openLanes();
    await chip('wrong').click();
    await chip('held').click();
    await shownTotal(2);
    expect(request().classes).toEqual(['wrong', 'held']);
    await chip('wrong').click();
    await chip('held').click();
    await shownTotal(30);
    const search = page
      .locator('[data-testid="search"] input, input[data-testid="search"]')
      .first();
    await search.fill('codec/nothing');
    await page.locator('[data-testid="lanes-empty"]').waitFor();
    expect(await page.locator('[data-testid="lanes-empty"]').innerText()).toBe(
      'No lane matches “codec/nothing”.',
    );
    await search.fill('tmp/b');
    await shownTotal(1);
    await search.fill('');
    await shownTotal(30);

    const strip = (await page.locator('[data-testid="lane-strip"]').boundingBox())!;
    await page.mouse.move(strip.x + strip.width * 0.02, strip.y + 10);
    await page.mouse.down();
    await page.mouse.move(strip.x + strip.width * 0.08, strip.y + 10, { steps: 3 });
    await page.mouse.up();
    await expect.poll(() => request().to).not.toBeNull();
    const { from, to } = request();
    expect(from).toBeGreaterThan(LANES_NOW - 9.2 * 60_000);
    expect(to).toBeLessThan(LANES_NOW - 8 * 60_000);
    await expect.poll(() => page.locator('.lane').count()).toBeLessThan(10);
  });

  test('follow the daemon, but not while the view is paused', async () => {
    await openLanes();
    peer.scene.lanes = [
      lane(
        500,
        'held',
        [bar(800, { taken: LANES_NOW - 2 }), bar(801, { from: LANES_NOW - 2, owner: 1 })],
        {
          overlapSince: LANES_NOW - 2,
        },
      ),
      ...peer.scene.lanes,
    ];
    peer.pushLanes();
    await shownTotal(31);
    await page.keyboard.press('p');
    await page.locator('body[data-paused="1"]').waitFor({ state: 'attached' });
    peer.scene.lanes = peer.scene.lanes.slice(0, 7);
    peer.pushLanes();
    peer.push();
    peer.pushStatus();
    await expect
      .poll(() => page.locator('[data-testid="live"]').innerText())
      .toContain('events behind');
    expect(await page.locator('.lanes').getAttribute('data-total')).toBe('31');
    await page.keyboard.press('p');
    await shownTotal(7);
  });

  test('say so when there are none', async () => {
    await openLanes({ ...hazardScene(), lanes: [] });
    expect(await page.locator('[data-testid="lanes-empty"]').innerText()).toContain(
      'No number has had a second owner yet.',
    );
    expect(await violations(page)).toEqual([]);
  });

  test('scroll to the very end of 100,000, and a frame is short (printed)', async () => {
    await openLanes({ ...hazardScene(), lanes: manyLanes(100_000) });
    await grid().focus();
    const times = await page.evaluate(async () => {
      const lanes = document.querySelector('.lanes-grid');
      const soon = window.requestAnimationFrame.bind(window);
      const drawings: number[] = [];
      window.requestAnimationFrame = (draw) =>
        soon((at) => {
          const start = performance.now();
          draw(at);
          drawings.push(performance.now() - start);
        });
      const frames: number[] = [];
      let before = performance.now();
      for (let frame = 0; frame < 120; frame++) {
        lanes?.scrollBy(0, frame < 60 ? 9 : 4_000);
        document.querySelector('.lanes-canvas')?.dispatchEvent(
          new WheelEvent('wheel', {
            deltaY: frame % 60 < 30 ? -30 : 30,
            ctrlKey: true,
            clientX: 800,
            clientY: 500,
            bubbles: true,
            cancelable: true,
          }),
        );
        await new Promise(soon);
        const now = performance.now();
        frames.push(now - before);
        before = now;
      }
      return { frames, drawings };
    });
    expect(times.drawings.length).toBeGreaterThan(30);
    for (const [what, values] of Object.entries(times)) {
      values.sort((a, b) => a - b);
      const at = (share: number) =>
        (values[Math.floor(share * (values.length - 1))] ?? 0).toFixed(1);
      console.log(
        `${what} while scrolling and zooming, 100,000 lanes: median ${at(0.5)} ms, 95 % ${at(0.95)} ms, worst ${at(1)} ms`,
      );
    }
    await page.keyboard.press('0');
    // Its event comes after the key.
    await grid().evaluate((lanes) => {
      lanes.scrollBy(0, -4_000);
      lanes.dispatchEvent(new KeyboardEvent('keydown', { key: 'End', bubbles: true }));
    });
    const end = page.locator(`.lane[data-ino="${10_000 + 100_000 - 6}"]`);
    await end.waitFor();
    const area = (await grid().boundingBox())!;
    await expect
      .poll(async () => {
        const box = (await end.boundingBox())!;
        return Math.abs(box.y + box.height - (area.y + area.height));
      })
      .toBeLessThan(2);
    expect(await page.locator('.lane').count()).toBeLessThan(60);
    await picture(page, 'lanes-100000');
  });
});

describe('mounts and budget', () => {
  beforeEach(async () => {
    await open();
    await tab('budget').click();
    await page.locator('[data-testid="budget"][data-seq]').waitFor();
  });
  const section = (name: string) => page.locator(`[data-testid="budget-${name}"]`);

  test('say which mounts are in play and what keeps them', async () => {
    const rows = await section('mounts').locator('tbody tr').allInnerTexts();
    expect(rows).toHaveLength(6);
    expect(rows[0]).toMatch(
      /74\s+ext4\s+\/srv\/share\s+yes\s+3\s+18,196\s+0\s+4\s+3 O_PATH \+ its/,
    );
    expect(rows[2]).toMatch(/81\s+btrfs\s+unmounted: \/srv.*\s+off\s+41\s+0\s+0\s+41\s+41 O_PATH/);
    expect(rows[4]).toContain('not openable: EIO');
  });

  test('say how many descriptors are left, and how it grows', async () => {
    expect(await section('gauge').innerText()).toContain(
      '89 % of what the guest may make the daemon hold',
    );
    const meter = section('gauge').locator('[role="meter"]');
    expect(await meter.getAttribute('aria-valuenow')).toBe('812');
    expect(await meter.getAttribute('aria-valuemax')).toBe('914');
    expect(await section('growth').innerText()).toContain('Entries in the last minute: 18,425');
    const lines = await section('growth')
      .locator('.spark-line')
      .evaluateAll((paths) => paths.map((path) => path.getAttribute('d') ?? ''));
    expect(lines).toHaveLength(6);
    for (const line of lines) expect(line).toMatch(/^M0,[\d.]+(L[\d.]+,[\d.]+){30,}$/);
  });

  test('lead from a directory to the Key Map, and keep the focus while numbers change', async () => {
    const button = section('zombies').locator('[data-reveal="104"]');
    await button.focus();
    const { budget } = peer.scene;
    const [first, ...others] = budget.zombies.directories;
    peer.scene.budget = {
      ...budget,
      seq: '500',
      zombies: { ...budget.zombies, directories: [...others, { ...first!, count: 201 }] },
    };
    peer.pushBudget();
    await page.locator('[data-testid="budget"][data-seq="500"]').waitFor();
    expect(await section('zombies').innerText()).toContain('201');
    expect(
      await page.evaluate(() => (document.activeElement as HTMLElement | null)?.dataset['reveal']),
    ).toBe('104');
    await section('entries').locator('[data-reveal="1"]').click();
    await expect.poll(() => tab('map').getAttribute('aria-selected')).toBe('true');
    await expect.poll(() => peer.requests.some(({ method }) => method === 'entry')).toBe(true);
  });

  test('stand for themselves when there is nothing yet', async () => {
    peer.scene.budget = { ...emptyBudget(), seq: '501' };
    peer.pushBudget();
    await page.locator('[data-testid="budget"][data-seq="501"]').waitFor();
    expect(await section('gauge').innerText()).toContain('the limit is not known');
    expect(await violations(page)).toEqual([]);
    await picture(page, 'budget-empty');
  });
});

describe('looks', () => {
  const NARROW = { width: 700, height: 800 };

  async function lookAt(name: string): Promise<void> {
    await shownTotal(30);
    expect(await violations(page)).toEqual([]);
    await picture(page, `lanes-${name}`);
    await page.setViewportSize(NARROW);
    await settled(page);
    expect(await excess()).toBe(0);
    await picture(page, `lanes-${name}-narrow`);
    await page.setViewportSize({ width: 1280, height: 1000 });
    await tab('budget').click();
    await page.locator('[data-testid="budget"][data-seq]').waitFor();
    expect(await violations(page)).toEqual([]);
    await picture(page, `budget-${name}`);
    await page.setViewportSize(NARROW);
    await settled(page);
    expect(await excess()).toBe(0);
    await picture(page, `budget-${name}-narrow`);
  }

  const excess = (): Promise<number> =>
    page.evaluate(() => {
      const whole = document.querySelector('.page')!;
      return whole.scrollWidth - whole.clientWidth;
    });

  test.each(['light', 'dark'] as const)('right in %s, and pass axe', async (colorScheme) => {
    await openLanes(hazardScene(), { colorScheme });
    await lookAt(colorScheme);
  });

  test.each(HIGH_CONTRAST_THEMES)('right in %s, and pass axe', async (theme) => {
    await openLanes();
    await setHighContrast(page, theme);
    await lookAt(theme.replace('vscode-', ''));
  });
});

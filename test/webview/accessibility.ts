/** Themes that VS Code sets, and what axe finds in a page. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What VS Code sets in its two high-contrast themes, as far as the page reads it. */
const HIGH_CONTRAST = {
  'vscode-high-contrast': {
    '--vscode-editor-background': '#000000',
    '--vscode-foreground': '#ffffff',
    '--vscode-descriptionForeground': 'rgba(255, 255, 255, 0.7)',
    '--vscode-contrastBorder': '#6fc3df',
    '--vscode-contrastActiveBorder': '#f38518',
    '--vscode-focusBorder': '#f38518',
    '--vscode-editorWidget-background': '#0c141f',
    '--vscode-charts-red': '#f48771',
    '--vscode-charts-orange': '#d18616',
    '--vscode-charts-yellow': '#ffd370',
    '--vscode-charts-green': '#89d185',
    '--vscode-charts-blue': '#3794ff',
    '--vscode-charts-purple': '#b180d7',
    '--vscode-input-background': '#000000',
    '--vscode-input-foreground': '#ffffff',
    '--vscode-input-placeholderForeground': 'rgba(255, 255, 255, 0.7)',
    '--vscode-button-foreground': '#ffffff',
    '--vscode-button-border': '#6fc3df',
    '--vscode-button-secondaryForeground': '#ffffff',
  },
  'vscode-high-contrast-light': {
    '--vscode-editor-background': '#ffffff',
    '--vscode-foreground': '#292929',
    '--vscode-descriptionForeground': 'rgba(41, 41, 41, 0.9)',
    '--vscode-contrastBorder': '#0f4a85',
    '--vscode-contrastActiveBorder': '#006bbd',
    '--vscode-focusBorder': '#006bbd',
    '--vscode-editorWidget-background': '#ffffff',
    '--vscode-charts-red': '#b5200d',
    '--vscode-charts-orange': '#a04900',
    '--vscode-charts-yellow': '#895503',
    '--vscode-charts-green': '#374e06',
    '--vscode-charts-blue': '#1a85ff',
    '--vscode-charts-purple': '#652d90',
    '--vscode-input-background': '#ffffff',
    '--vscode-input-foreground': '#292929',
    '--vscode-input-placeholderForeground': 'rgba(41, 41, 41, 0.8)',
    '--vscode-button-background': '#0f4a85',
    '--vscode-button-foreground': '#ffffff',
    '--vscode-button-border': '#0f4a85',
    '--vscode-button-secondaryBackground': '#ffffff',
    '--vscode-button-secondaryForeground': '#292929',
  },
} as const;

export const HIGH_CONTRAST_THEMES = ['vscode-high-contrast', 'vscode-high-contrast-light'] as const;

/** Makes the page look as in VS Code with a high-contrast theme. */
export function setHighContrast(
  page: Page,
  theme: (typeof HIGH_CONTRAST_THEMES)[number],
): Promise<void> {
  return page.evaluate(
    ({ theme: name, variables }) => {
      document.documentElement.classList.remove('plain');
      for (const [variable, value] of Object.entries(variables)) {
        document.documentElement.style.setProperty(variable, value);
      }
      document.body.dataset['vscodeThemeKind'] = name;
      document.body.classList.add(name);
    },
    { theme, variables: HIGH_CONTRAST[theme] },
  );
}

/** axe-core's findings, as `rule: elements`. It is evaluated from outside, so the policy holds. */
export async function violations(page: Page): Promise<string[]> {
  await settled(page);
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(): Promise<{
          violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
        }>;
      };
    };
    const { violations: found } = await axe.run();
    return found.map(
      ({ id, nodes }) =>
        `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' | ')}`,
    );
  });
}

/** Waits for animations and transitions to end. */
export async function settled(page: Page): Promise<void> {
  await page.waitForFunction(() =>
    [...document.querySelectorAll('path.edge[data-path]')].every(
      (path) => path.getAttribute('d') === path.getAttribute('data-path'),
    ),
  );
  await page.evaluate(
    () =>
      new Promise<void>((resolve) => {
        requestAnimationFrame(() =>
          requestAnimationFrame(() => {
            void Promise.allSettled(
              document
                .getAnimations()
                .filter((animation) => animation.effect?.getComputedTiming().endTime !== Infinity)
                .map((animation) => animation.finished),
            ).then(() => resolve());
          }),
        );
      }),
  );
}

/** Nothing is cut off at the side. */
export async function fitsInWidth(page: Page): Promise<void> {
  const { whole, grid } = await page.evaluate(() => {
    const excess = (element: Element | null): number =>
      element === null ? 0 : element.scrollWidth - element.clientWidth;
    return {
      whole: excess(document.querySelector('.page')),
      grid: excess(document.querySelector('.grid')),
    };
  });
  expect({ whole, grid }).toEqual({ whole: 0, grid: 0 });
}

/** package.json and the code name the same commands, views, settings and files. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import manifest from '../../package.json';
import { COMMANDS, CONTEXTS, KEY_MAP, ROW_WORDS, VIEWS } from '../../extension/ids';

const root = fileURLToPath(new URL('../../', import.meta.url));
const { contributes } = manifest;
const commands = contributes.commands.map(({ command }) => command);
const whens = JSON.stringify([contributes.menus, contributes.viewsWelcome]);

test('commands', () => {
  expect([...commands].sort()).toEqual(Object.values(COMMANDS).sort());
  for (const command of contributes.commands) expect(command.category).toBe('virtiofsd Inspector');
  const inMenus = Object.values(contributes.menus)
    .flat()
    .map(({ command }) => command);
  for (const command of inMenus) expect(commands).toContain(command);
  const linked = [
    ...JSON.stringify(contributes).matchAll(/\(command:(virtiofsdInspector\.\w+)\)/g),
  ];
  for (const [, command] of linked) expect(commands).toContain(command);
});

test('views, context keys and row words', () => {
  const views = contributes.views.virtiofsdInspector.map(({ id }) => id);
  expect(views).toEqual(Object.values(VIEWS));
  const known = new Set<string>([...Object.values(CONTEXTS), ...views, ...commands]);
  const all = JSON.stringify(contributes.menus).matchAll(/virtiofsdInspector\.\w+/g);
  for (const [id] of all) expect(known.has(id) || id === KEY_MAP, id).toBe(true);
  const words: string[] = Object.values(ROW_WORDS);
  for (const [, word] of whens.matchAll(/\\\\b(\w+)\\\\b/g)) expect(words).toContain(word);
  expect(manifest.activationEvents).toContain(`onWebviewPanel:${KEY_MAP}`);
});

test('settings are those that the code reads', () => {
  const source = readFileSync(path.join(root, 'extension/settings.ts'), 'utf8');
  const read = [...source.matchAll(/section\.get\('(\w+)'\)/g)].map(
    ([, name]) => `virtiofsdInspector.${name}`,
  );
  expect(Object.keys(contributes.configuration.properties).sort()).toEqual(read.sort());
});

test('every file that is named exists', () => {
  const named = [...JSON.stringify([contributes, manifest.icon]).matchAll(/"(media\/[^"]+)"/g)];
  expect(named.length).toBeGreaterThan(5);
  for (const [, file] of named) expect(existsSync(path.join(root, file ?? '')), file).toBe(true);
});

test('the core does without vscode', () => {
  const core = path.join(root, 'extension/core');
  for (const name of readdirSync(core)) {
    expect(readFileSync(path.join(core, name), 'utf8'), name).not.toMatch(/from 'vscode'/);
  }
});

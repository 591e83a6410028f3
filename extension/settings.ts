/** The settings, read when they are needed: a change counts from the next start on. */

import * as v from 'valibot';
import * as vscode from 'vscode';
import { handleMode } from '../daemon/protocol/json';
import { CACHE_POLICIES } from './core/launch';

const settings = v.object({
  inodeFileHandles: v.fallback(handleMode, 'prefer'),
  cache: v.fallback(v.picklist(CACHE_POLICIES), 'auto'),
  nodePath: v.fallback(v.string(), ''),
  openMapOnStart: v.fallback(v.boolean(), true),
});
export type Settings = v.InferOutput<typeof settings>;

/** @param folder the folder to be shared: settings may differ between workspace folders */
export function readSettings(folder: vscode.Uri): Settings {
  const section = vscode.workspace.getConfiguration('virtiofsdInspector', folder);
  // settings.json is written by hand: what VS Code marks as wrong there is the default here.
  return v.parse(settings, {
    inodeFileHandles: section.get('inodeFileHandles'),
    cache: section.get('cache'),
    nodePath: section.get('nodePath'),
    openMapOnStart: section.get('openMapOnStart'),
  });
}

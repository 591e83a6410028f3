/**
 * Links into VS Code: `vscode://PUBLISHER.virtiofsd-inspector/map?pid=PID` opens the Key Map of a
 * daemon of this host. `npm start` uses it. A link can only show what this user may see anyway: the
 * daemon must have left its runtime file for this user.
 */

import * as vscode from 'vscode';
import type { Daemons } from './core/daemons';
import type { KeyMaps } from './keyMaps';

export function registerLinks(daemons: Daemons, keyMaps: KeyMaps): vscode.Disposable {
  return vscode.window.registerUriHandler({
    handleUri({ path, query }) {
      const pid = Number(new URLSearchParams(query).get('pid'));
      const daemon = daemons.list.find(
        ({ origin }) => origin.kind === 'local' && origin.file.pid === pid,
      );
      if (path === '/map' && daemon !== undefined) keyMaps.open(daemon);
      else {
        void vscode.window.showWarningMessage(
          `The link ${path}?${query} names no daemon that runs on this host.`,
        );
      }
    },
  });
}

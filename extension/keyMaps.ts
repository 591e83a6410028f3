/** The Key Map's editors: one for each daemon, restored with the window. */

import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import * as vscode from 'vscode';
import type { StopPlace } from '../daemon/protocol/hostMessages';
import { mapHtml } from '../daemon/protocol/mapPage';
import type { Daemon, DaemonKey, Daemons } from './core/daemons';
import type { Log } from './core/log';
import type { MapTarget } from './core/mapSession';
import { MapSession } from './core/mapSession';
import { COMMANDS, KEY_MAP } from './ids';

/** What is remembered of an editor, by its title, for the time after a reload. */
const remembered = v.record(
  v.string(),
  v.object({
    key: v.string(),
    sharedDir: v.string(),
    /** Set for a daemon that was connected by URL: without the token, which is a secret. */
    url: v.nullable(v.string()),
  }),
);
type Remembered = v.InferOutput<typeof remembered>;

const MEMORY = 'keyMaps';

/** The latest so many are remembered. */
const REMEMBERED = 30;

interface Editor {
  readonly panel: vscode.WebviewPanel;
  readonly session: MapSession;
  key: DaemonKey;
  sharedDir: string;
  url: string | null;
  /** The editor has said that the daemon is gone. */
  ended: boolean;
}

export class KeyMaps implements vscode.WebviewPanelSerializer, vscode.Disposable {
  readonly #editors = new Set<Editor>();
  /** Where debuggers have stopped, for maps that are opened later. */
  readonly #stops = new Map<DaemonKey, StopPlace>();
  readonly #stop: () => void;

  /** @param reconnect connects again to a daemon by its URL, where that is allowed */
  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly daemons: Daemons,
    private readonly reconnect: (url: string) => Promise<void>,
    private readonly log: Log,
  ) {
    this.#stop = daemons.changed.on(() => this.#follow());
  }

  dispose(): void {
    this.#stop();
    for (const { session } of this.#editors) session.dispose();
  }

  /** Shows a daemon's Key Map, with an entry of it in sight when one is named. */
  open(daemon: Daemon, nodeid?: string): void {
    this.daemons.choose(daemon.key);
    const editor = this.#editorFor(daemon);
    editor.panel.reveal();
    if (nodeid !== undefined) editor.session.reveal(nodeid);
  }

  /** Shows in a daemon's Key Map where a debugger has stopped; null: nowhere any more. */
  stop(key: DaemonKey, at: StopPlace | null): void {
    if (at === null) this.#stops.delete(key);
    else this.#stops.set(key, at);
    for (const editor of this.#editors) if (editor.key === key) editor.session.stop(at);
  }

  async deserializeWebviewPanel(panel: vscode.WebviewPanel): Promise<void> {
    const known = this.#memory[panel.title];
    const key = (known?.key ?? '') as DaemonKey;
    const url = known?.url ?? null;
    if (url !== null) await this.reconnect(url);
    const editor = this.#adopt(panel, key, known?.sharedDir ?? '', url);
    if (panel.visible) this.daemons.choose(editor.key);
  }

  #editorFor(daemon: Daemon): Editor {
    const sharedDir = sharedDirOf(daemon);
    const editors = [...this.#editors];
    const own = editors.find(({ key }) => key === daemon.key);
    if (own !== undefined) return own;
    const panel = vscode.window.createWebviewPanel(
      KEY_MAP,
      this.#titleFor(daemon),
      vscode.ViewColumn.Active,
      { enableFindWidget: false },
    );
    const url = daemon.origin.kind === 'url' ? daemon.address.url : null;
    return this.#adopt(panel, daemon.key, sharedDir, url);
  }

  #adopt(
    panel: vscode.WebviewPanel,
    key: DaemonKey,
    sharedDir: string,
    url: string | null,
  ): Editor {
    const { webview } = panel;
    const session = new MapSession(
      {
        post: (message) => {
          if (panel.visible) void webview.postMessage(message);
        },
        target: () => this.#targetOf(editor),
        explain: (hazard) => void vscode.commands.executeCommand(COMMANDS.explainHazard, hazard),
      },
      this.log,
    );
    const editor: Editor = { panel, session, key, sharedDir, url, ended: false };
    this.#editors.add(editor);
    session.stop(this.#stops.get(key) ?? null);
    webview.onDidReceiveMessage((message: unknown) => session.receive(message));
    panel.onDidChangeViewState(() => {
      if (!panel.visible) session.hide();
      if (panel.active) this.daemons.choose(editor.key);
    });
    panel.onDidDispose(() => {
      session.dispose();
      this.#editors.delete(editor);
    });

    this.#load(panel);
    void this.#remember();
    return editor;
  }

  /** Loads the page afresh; it says `ready` when it is there. */
  #load(panel: vscode.WebviewPanel): void {
    const pages = vscode.Uri.joinPath(this.context.extensionUri, 'dist', 'webview');
    const media = vscode.Uri.joinPath(this.context.extensionUri, 'media');
    panel.iconPath = {
      light: vscode.Uri.joinPath(media, 'keyMapLight.svg'),
      dark: vscode.Uri.joinPath(media, 'keyMapDark.svg'),
    };
    const { webview } = panel;
    webview.options = { enableScripts: true, localResourceRoots: [pages] };
    webview.html = mapHtml({
      script: webview.asWebviewUri(vscode.Uri.joinPath(pages, 'map.js')).toString(),
      style: webview.asWebviewUri(vscode.Uri.joinPath(pages, 'map.css')).toString(),
      nonce: randomBytes(16).toString('hex'),
      cspSource: webview.cspSource,
      title: panel.title,
    });
  }

  #targetOf(editor: Editor): MapTarget {
    const daemon = this.daemons.get(editor.key) ?? this.#successor(editor);
    editor.ended = daemon === undefined;
    if (daemon !== undefined) return { state: 'there', address: daemon.address };
    return { state: 'gone', message: endedText(editor) };
  }

  /** A daemon that was started again on the same folder goes on in the editor of the one before. */
  #successor(editor: Editor): Daemon | undefined {
    const shown = new Set([...this.#editors].map(({ key }) => key));
    const successor = this.daemons.list.find(
      (daemon) =>
        daemon.origin.kind === 'local' &&
        daemon.origin.file.sharedDir === editor.sharedDir &&
        !shown.has(daemon.key),
    );
    if (successor === undefined) return undefined;
    editor.key = successor.key;
    void this.#remember();
    return successor;
  }

  /** Tells the editors whose daemon has gone, or is back. */
  #follow(): void {
    for (const editor of this.#editors) {
      if (editor.ended) {
        // A new page, because this one still shows what the former daemon said last.
        if (this.#targetOf(editor).state === 'there') {
          editor.session.hide();
          this.#load(editor.panel);
        }
      } else if (this.daemons.get(editor.key) === undefined) {
        editor.ended = true;
        editor.session.end(endedText(editor));
      }
    }
  }

  /** Titles are unique among the open editors, for an editor is remembered by its title. */
  #titleFor(daemon: Daemon): string {
    const taken = new Set([...this.#editors].map(({ panel }) => panel.title));
    const title = `Key Map: ${daemon.name}`;
    for (let number = 2; ; number++) {
      const candidate = number === 2 && !taken.has(title) ? title : `${title} (${number})`;
      if (!taken.has(candidate)) return candidate;
    }
  }

  get #memory(): Remembered {
    return v.parse(v.fallback(remembered, {}), this.context.workspaceState.get(MEMORY));
  }

  /**
   * Closed editors are not taken out: a window that closes closes its editors as well, and those
   * are the ones to remember.
   */
  async #remember(): Promise<void> {
    const open = [...this.#editors].map(
      ({ panel, key, sharedDir, url }) => [panel.title, { key, sharedDir, url }] as const,
    );
    const titles = new Set(open.map(([title]) => title));
    const closed = Object.entries(this.#memory).filter(([title]) => !titles.has(title));
    const memory: Remembered = Object.fromEntries([...closed, ...open].slice(-REMEMBERED));
    await this.context.workspaceState.update(MEMORY, memory);
  }
}

function sharedDirOf(daemon: Daemon): string {
  if (daemon.origin.kind === 'local') return daemon.origin.file.sharedDir;
  const state = daemon.link?.state;
  return state?.state === 'open' ? state.target.sharedDir : '';
}

function endedText({ sharedDir, url }: Pick<Editor, 'sharedDir' | 'url'>): string {
  if (sharedDir === '')
    return 'The daemon has ended. Close this editor, and open the Key Map anew.';
  const which = `The daemon that shared ${sharedDir}`;
  return url === null
    ? `${which} has ended. When one shares the same folder again, this map goes on with it.`
    : `${which} at ${url} is not connected. Connect by its URL, or close this editor.`;
}

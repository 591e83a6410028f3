/**
 * The Key Map's page, for the webview of the extension and for the daemon's own server: only a
 * head with a strict content security policy and an empty root, which dist/webview/map.js fills.
 */

export interface MapPage {
  /** Address of dist/webview/map.js. */
  readonly script: string;
  /** Address of dist/webview/map.css. */
  readonly style: string;
  /** Random for each page (crypto.randomBytes), letters and digits. */
  readonly nonce: string;
  /** Where styles may come from: `webview.cspSource`, or `'self'`. */
  readonly cspSource: string;
  /** Where the page itself may connect to; absent in VS Code, where the host owns the connection. */
  readonly connectSrc?: string;
  readonly title: string;
}

/**
 * The whole HTML of the page.
 *
 * The nonce stands in style-src and in `csp-nonce` as well, because the toolkit's test for
 * `:focus-visible` inserts a style element and draws focus rings on every click when that is
 * refused.
 */
export function mapHtml(page: MapPage): string {
  const policy = [
    `default-src 'none'`,
    `script-src 'nonce-${page.nonce}'`,
    `style-src ${page.cspSource} 'nonce-${page.nonce}'`,
    ...(page.connectSrc === undefined ? [] : [`connect-src ${page.connectSrc}`]),
    `base-uri 'none'`,
    `form-action 'none'`,
  ].join('; ');
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta http-equiv="Content-Security-Policy" content="${escapeHtml(policy)}" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <meta name="referrer" content="no-referrer" />
    <meta property="csp-nonce" content="${escapeHtml(page.nonce)}" />
    <link rel="stylesheet" href="${escapeHtml(page.style)}" />
    <title>${escapeHtml(page.title)}</title>
  </head>
  <body>
    <div id="root"></div>
    <script nonce="${escapeHtml(page.nonce)}" src="${escapeHtml(page.script)}"></script>
  </body>
</html>
`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => ENTITIES[character] ?? character);
}

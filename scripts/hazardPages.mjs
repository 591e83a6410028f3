/** Makes web pages of docs/hazards for the browser page, whose daemon serves them. */

import MarkdownIt from 'markdown-it';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

const SUFFIX = '.md';
const INDEX = 'README';

/**
 * @param {string} from folder of the Markdown files
 * @param {string} to folder of the pages; what was there is gone
 */
export async function renderHazardPages(from, to) {
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { recursive: true });
  const names = (await readdir(from))
    .filter((file) => file.endsWith(SUFFIX))
    .map((file) => file.slice(0, -SUFFIX.length));
  await Promise.all(
    names.map(async (name) => {
      const text = await readFile(path.join(from, `${name}${SUFFIX}`), 'utf8');
      const page = name === INDEX ? 'index' : name;
      await writeFile(path.join(to, `${page}.html`), render(text, names));
    }),
  );
}

/**
 * @param {string} text
 * @param {readonly string[]} names of all pages
 */
function render(text, names) {
  const markdown = new MarkdownIt({ html: false });
  markdown.renderer.rules.link_open = (tokens, index, options, _env, self) => {
    const token = tokens[index];
    const href = token.attrGet('href') ?? '';
    const name = href.endsWith(SUFFIX) ? href.slice(0, -SUFFIX.length) : undefined;
    if (name !== undefined && names.includes(name)) {
      token.attrSet('href', name === INDEX ? '/hazards/' : `/hazards/${name}`);
    } else if (!/^https?:/.test(href)) {
      // Other documents are in the repository, and are not served.
      token.attrs = null;
    }
    return self.renderToken(tokens, index, options);
  };
  // What is wide scrolls by itself, also by keyboard.
  markdown.renderer.rules.fence = (tokens, index) =>
    `<pre tabindex="0"><code>${markdown.utils.escapeHtml(tokens[index].content)}</code></pre>\n`;
  markdown.renderer.rules.table_open = () => '<div class="table" tabindex="0"><table>\n';
  markdown.renderer.rules.table_close = () => '</table></div>\n';
  const title = markdown.utils.escapeHtml(/^# (.+)$/m.exec(text)?.[1] ?? 'Hazards');
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <link rel="stylesheet" href="/document.css" />
    <title>${title}</title>
  </head>
  <body>
    <nav><a href="/hazards/">All hazards</a></nav>
    <main>
${markdown.render(text)}</main>
  </body>
</html>
`;
}

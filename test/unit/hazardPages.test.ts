/** docs/hazards: a page for each hazard, a hazard for each page, and links that lead somewhere. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { HAZARD_RULES } from '../../daemon/hazards/hazardBook';
import { JUDGED_RULES } from '../../daemon/hazards/judged';

const FOLDER = path.resolve(import.meta.dirname, '../../docs/hazards');
const HEADINGS = [
  'What happens',
  'How it is known',
  'What to do',
  'Reproduce it',
  'Where from',
] as const;

const rules = [...HAZARD_RULES, ...JUDGED_RULES];
const pages = readdirSync(FOLDER).filter((file) => file !== 'README.md');
const read = (file: string) => readFileSync(path.join(FOLDER, file), 'utf8');
const byNumber = (ids: Iterable<string>) =>
  [...ids].sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));

it('every hazard has a page, and every page a hazard', () => {
  const documented = pages.map((file) => path.parse(file).name);
  expect(byNumber(documented)).toEqual(byNumber(new Set(rules.map(({ id }) => id))));
});

it('the index names each, as the catalogue does', () => {
  const index = read('README.md');
  for (const { id, name } of rules) {
    expect(index).toMatch(new RegExp(`^\\| \\[${id}\\]\\(${id}\\.md\\) +\\| ${name} +\\|`, 'm'));
  }
});

describe.each([...pages, 'README.md'])('%s', (file) => {
  const text = read(file);

  it.runIf(file !== 'README.md')('has the headings, in their order', () => {
    const id = path.parse(file).name;
    expect(text).toMatch(new RegExp(`^# ${id} \\S`));
    expect([...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading)).toEqual(HEADINGS);
  });

  it('links to what is there', () => {
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link ?? '');
    for (const link of links.filter((one) => !/^https?:/.test(one))) {
      const [target = ''] = link.split('#');
      expect(existsSync(path.join(FOLDER, target)), link).toBe(true);
    }
  });
});

import { describe, expect, test } from 'vitest';
import { hostToWebview, webviewToHost } from '../../daemon/protocol/hostMessages';
import { mapHtml } from '../../daemon/protocol/mapPage';
import { FIRST_VIEW, readViewState } from '../../webview/viewState';
import { countText, errnoText, handleBytes, keyNote, modeText } from '../../webview/words';
import * as v from 'valibot';

describe('words', () => {
  test('keep 64-bit numbers exact', () => {
    expect(countText('18446744073709551615')).toBe('18,446,744,073,709,551,615');
  });

  test('keep the last four bytes of a handle apart', () => {
    expect(handleBytes('0c00000022ea51a9')).toEqual({ head: '0c000000', tail: '22ea51a9' });
    expect(handleBytes('0c0000')).toEqual({ head: '', tail: '0c0000' });
    expect(handleBytes('')).toEqual({ head: '', tail: '' });
  });

  test('say what became of a key', () => {
    expect(keyNote({ state: 'owned' })).toBeUndefined();
    expect(keyNote({ state: 'stolen', owner: '3', time: null })).toBe('stolen by 3');
    expect(keyNote({ state: 'lost', with: '2', time: null })).toBe('key lost with node 2');
    expect(keyNote({ state: 'none', why: 'EOPNOTSUPP' })).toBe('(none: EOPNOTSUPP)');
  });

  test('read modes and errors', () => {
    expect(modeText(0o100644)).toBe('regular file, 0644');
    expect(modeText(0o041777)).toBe('directory, 01777');
    expect(errnoText('ESTALE')).toBe('ESTALE (stale file handle)');
    expect(errnoText('EWHAT')).toBe('EWHAT');
  });
});

describe('what comes from outside', () => {
  test('a saved view of another version is left aside', () => {
    expect(readViewState({ ...FIRST_VIEW, query: 'x' })).toMatchObject({ query: 'x' });
    for (const saved of [
      undefined,
      null,
      'x',
      { top: -1 },
      { ...FIRST_VIEW, unfolded: ['../x'] },
    ]) {
      expect(readViewState(saved)).toBe(FIRST_VIEW);
    }
  });

  test('messages between host and webview are checked', () => {
    const toPage = (message: unknown) => v.safeParse(hostToWebview, message).success;
    expect(toPage({ k: 'binary', bytes: new Uint8Array(3) })).toBe(true);
    expect(toPage({ k: 'binary', bytes: [1, 2] })).toBe(false);
    expect(toPage({ k: 'state', state: 'paused', message: '' })).toBe(false);
    const toHost = (message: unknown) => v.safeParse(webviewToHost, message).success;
    expect(toHost({ k: 'selected', nodeid: '2' })).toBe(false);
    expect(toHost({ k: 'text', text: 'x'.repeat(70_000) })).toBe(false);
  });

  test('a title cannot leave its place in the page', () => {
    const html = mapHtml({
      script: '/map.js',
      style: '/map.css',
      nonce: 'abc',
      cspSource: `'self'`,
      title: '</title><script>alert(1)</script>"',
    });
    expect(html).not.toContain('<script>alert');
    expect(html).toContain(`script-src 'nonce-abc'`);
    expect(html).not.toContain('connect-src');
    expect(html).toContain('<meta property="csp-nonce" content="abc" />');
  });
});

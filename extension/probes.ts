/** "Probe Now": tries what an entry, a directory or all entries of a daemon hold. */

import * as vscode from 'vscode';
import type { InspectorClient } from '../daemon/protocol/client';
import type { ProbeProgress, ProbeRequest } from '../daemon/protocol/probe';
import { grouped } from './core/words';

/** @returns the last report of progress */
export function probeWithProgress(
  client: InspectorClient,
  name: string,
  request: ProbeRequest,
): Thenable<ProbeProgress> {
  const options = {
    location: vscode.ProgressLocation.Notification,
    title: `Probing entries of ${name}`,
    cancellable: true,
  };
  return vscode.window.withProgress(options, async (progress, token) => {
    let reported = 0;
    const ended = new Promise<ProbeProgress>((resolve) => {
      client.on('probe', (now) => {
        const { state, done, of } = now;
        const increment = of === 0 ? 0 : ((done - reported) * 100) / of;
        progress.report({ message: `${grouped(done)} of ${grouped(of)}`, increment });
        reported = done;
        if (state !== 'running') resolve(now);
      });
    });
    await client.call('probe.start', request);
    // The last report says that it was cancelled.
    token.onCancellationRequested(() => void client.call('probe.stop', {}).catch(() => undefined));
    return ended;
  });
}

/** Asks what is to be probed; undefined: nothing. */
export async function pickProbe(
  pickEntry: () => Promise<string | undefined>,
): Promise<ProbeRequest | undefined> {
  const chosen = await vscode.window.showQuickPick(
    [
      { label: 'All Entries', what: 'all' },
      { label: 'One Entry…', what: 'entry' },
      { label: 'The Entries of a Directory…', what: 'directory' },
    ] as const,
    { title: 'Probe Now' },
  );
  if (chosen === undefined) return undefined;
  if (chosen.what === 'all') return { all: true };
  const nodeid = await pickEntry();
  if (nodeid === undefined) return undefined;
  return chosen.what === 'entry' ? { nodeid } : { directory: nodeid };
}

export function summary({ state, done, failed, different }: ProbeProgress): string {
  const what =
    failed + different === 0
      ? 'every one holds the file of its key.'
      : `${grouped(failed)} cannot be reached, ${grouped(different)} hold another file. The Hazards view has them.`;
  const tried = `${grouped(done)} ${done === 1 ? 'entry' : 'entries'} probed`;
  return `${tried}${state === 'cancelled' ? ', then cancelled' : ''}: ${what}`;
}

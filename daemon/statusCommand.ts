/** `status`: what a daemon costs its host and what is wrong, at one look. */

import type { Command } from 'commander';
import { hazardText, print, readHazards, withConnection } from './observerCommands';
import type { BudgetJson, DirectoryCostJson, MountJson } from './protocol/budget';
import type { HazardJson } from './protocol/json';

/** Directories that a person is shown. */
const SHOWN_DIRECTORIES = 5;

export function addStatusCommand(program: Command): void {
  program
    .command('status')
    .description('mounts, descriptors, deleted files and open hazards of a daemon')
    .argument('[target]', 'process id, ws:// URL with its token, or runtime file')
    .option('--json', 'as JSON')
    .action((target: string | undefined, { json }: { json?: true }) =>
      withConnection(target, async ({ client }) => {
        const budget = await client.call('budget.watch', {});
        const hazards = await readHazards(client);
        await print(
          json === true ? JSON.stringify({ budget, hazards }) : statusText(budget, hazards),
        );
      }),
    );
}

function statusText(budget: BudgetJson, hazards: readonly HazardJson[]): string {
  const { descriptors, zombies, mounts, moreMounts, directories } = budget;
  const { used, limit, reserved, entries, openFiles, refused } = descriptors;
  const share = limit === 0 ? '' : ` (${((100 * used) / limit).toFixed(0)} %)`;
  return [
    `descriptors  ${used} of ${limit}${share}: ${entries} of entries, ${openFiles} of open files; ` +
      `${reserved} are the daemon's own` +
      (refused === 0 ? '' : `; the guest got ENFILE ${refused} times`),
    `deleted      ${zombies.count} files that entries keep, ${megabytes(zombies.bytes)}`,
    ...zombies.directories
      .slice(0, SHOWN_DIRECTORIES)
      .map(
        ({ path, count, bytes }) => `             ${count} in ${path ?? '?'}, ${megabytes(bytes)}`,
      ),
    'mounts',
    ...mounts.map(mountText),
    ...(moreMounts === 0 ? [] : [`  and ${moreMounts} more`]),
    `directories  ${directories.total}, with most entries:`,
    ...directories.byEntries.slice(0, SHOWN_DIRECTORIES).map(directoryText),
    hazards.length === 0 ? 'hazards      none' : 'hazards',
    ...hazards.map((hazard) => `  ${hazardText(hazard)}`),
  ].join('\n');
}

function mountText({ mntId, fsType, point, mounted, handles, entries, twins }: MountJson): string {
  const gone = mounted === false ? ', no longer mounted' : '';
  const pairs = twins.map((twin) => `, ${twin.pairs} twins on mount ${twin.mntId}`).join('');
  return (
    `  ${mntId} ${fsType ?? '?'} ${point ?? '(place unknown)'}${gone}: handles ${handles.replace('_', ' ')}, ` +
    `${entries.file} entries with a descriptor, ${entries.handle} with a handle${pairs}`
  );
}

function directoryText({ path, nodeid, entries, descriptors }: DirectoryCostJson): string {
  return `  ${path ?? `node ${nodeid}`}: ${entries} entries, ${descriptors} descriptors`;
}

function megabytes(bytes: string): string {
  return `${(Number(bytes) / 1_000_000).toFixed(1)} MB`;
}

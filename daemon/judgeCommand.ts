/** `judge`: what other implementations would have got wrong in the lookups of a daemon. */

import type { Command } from 'commander';
import { print, withConnection } from './observerCommands';
import type { JudgementJson } from './protocol/why';
import { IMPLEMENTATION_NAMES } from './tables/implementations';

export function addJudgeCommand(program: Command): void {
  program
    .command('judge')
    .description('judge the newest lookups of a daemon under other implementations')
    .argument('[target]', 'process id, ws:// URL with its token, or runtime file')
    .option('--json', 'as JSON')
    .action((target: string | undefined, { json }: { json?: true }) =>
      withConnection(target, async ({ client }) => {
        const all: JudgementJson[] = [];
        for (const implementation of IMPLEMENTATION_NAMES) {
          all.push(await client.call('judge', { implementation }));
        }
        await print(json === true ? JSON.stringify(all) : all.map(judgementText).join('\n'));
      }),
    );
}

/** Findings of one kind that are listed. */
const LISTED = 5;

function judgementText(judged: JudgementJson): string {
  const { implementation, summary, from, to, lookups, prevented, totals, findings } = judged;
  const counts = Object.entries(totals).map(([id, count]) => `${count} ${id}`);
  const result = counts.length === 0 ? 'nothing wrong' : counts.join(', ');
  return [
    `${implementation} (${summary}): ${result} in ${lookups} lookups, events ${from} to ${to}`,
    ...(prevented === 0
      ? []
      : [`  ${prevented} could not have happened there: a descriptor keeps the number in use`]),
    ...Object.keys(totals).flatMap((id) => {
      const listed = findings.filter((finding) => finding.id === id);
      return listed.slice(0, LISTED).map(
        ({ name, severity, seq, evidence }) =>
          `  ${id} ${name} [${severity}] event ${seq}: ${Object.entries(evidence)
            .map(([key, value]) => `${key} ${value ?? 'unknown'}`)
            .join(', ')}`,
      );
    }),
  ].join('\n');
}

/** `check`: what to expect of a directory before it is shared. */

import type { Command } from 'commander';
import { loadAddon } from '../native/index';
import { checkDirectory } from './check/checkDirectory';
import { reportText } from './check/reportText';
import { errnoName } from './inspector/errnoName';
import { VERSION } from './version';

export function addCheckCommand(program: Command): void {
  program
    .command('check')
    .description('look at a directory before it is shared: what works, what to mind, which options')
    .argument('<dir>', 'the directory; it is left as it was')
    .option('--json', 'as JSON (docs/check.md)')
    .action(async (dir: string, { json }: { json?: true }) => {
      process.stdout.on('error', (error: NodeJS.ErrnoException) => {
        // The reader has seen enough (| head).
        if (error.code === 'EPIPE') process.exit(0);
        throw error;
      });
      const report = await checkDirectory(
        { native: loadAddon(), version: VERSION, errnoName },
        dir,
      );
      const text = json === true ? JSON.stringify(report, null, 2) : reportText(report);
      process.stdout.write(`${text}\n`);
    });
}

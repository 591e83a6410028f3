/** `probe`: tries what entries hold, on demand. */

import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { print, withConnection } from './observerCommands';
import type { ProbeProgress, ProbeRequest } from './protocol/probe';

interface Given {
  readonly all?: true;
  readonly directory?: true;
  readonly json?: true;
}

export function addProbeCommand(program: Command): void {
  program
    .command('probe')
    .description('try what entries hold: whether it is still there, and still the same file')
    .usage('[options] [TARGET] NODEID, or --all [TARGET]')
    .argument('[words...]')
    .option('--all', 'every entry')
    .option('--directory', 'the entries of the directory NODEID')
    .option('--json', 'the last report as JSON')
    .action((words: string[], given: Given) => {
      const { target, request } = wanted(words, given);
      return withConnection(target, async ({ client }) => {
        const ended = new Promise<ProbeProgress>((resolve) => {
          client.on('probe', (progress) => {
            if (progress.state !== 'running') resolve(progress);
            else if (process.stderr.isTTY) process.stderr.write(`\r${progressText(progress)}`);
          });
        });
        await client.call('probe.start', request);
        const last = await ended;
        if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
        await print(given.json === true ? JSON.stringify(last) : progressText(last));
      });
    });
}

function wanted(
  words: readonly string[],
  { all, directory }: Given,
): { readonly target: string | undefined; readonly request: ProbeRequest } {
  if (all === true) {
    if (words.length > 1 || directory === true) {
      throw new InvalidArgumentError('With --all, give nothing but a TARGET.');
    }
    return { target: words[0], request: { all: true } };
  }
  const nodeid = words.at(-1) ?? '';
  if (words.length > 2 || !/^[1-9][0-9]{0,15}$/.test(nodeid)) {
    throw new InvalidArgumentError('Give a node id, or --all; see probe --help.');
  }
  const target = words.length === 2 ? words[0] : undefined;
  return { target, request: directory === true ? { directory: nodeid } : { nodeid } };
}

function progressText({ done, of, failed, different }: ProbeProgress): string {
  return `${done} of ${of} entries tried: ${failed} cannot be reached, ${different} hold another file.`;
}

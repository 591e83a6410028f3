/** `why`: how an entry or a lookup came about, for people and scripts. */

import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { print, withConnection } from './observerCommands';
import type { InspectorClient } from './protocol/client';
import { InspectorError } from './protocol/client';
import { RPC_ERRORS } from './protocol/rpc';
import type { WhyJson, WhySubject } from './protocol/why';
import { whyText } from './whyText';

const SUBJECT_HELP = `
WHAT is one of
  3, node=3        an entry by its node id
  17, seq=17       an event; a bare number is a node id first
  dir/f, path=3    a path below the shared directory
  ESTALE           the newest reply with this errno, or who else made it
  H1               the newest open hazard of this number`;

export function addWhyCommand(program: Command): void {
  program
    .command('why')
    .description('how an entry or a lookup came about, and what other lookup rules would answer')
    .usage('[options] [TARGET] WHAT')
    .argument('<words...>')
    .option('--json', 'as JSON')
    .addHelpText('after', SUBJECT_HELP)
    .action((words: string[], { json }: { json?: true }) => {
      const [target, subject] = words.length === 1 ? [undefined, words[0]] : words;
      if (subject === undefined || words.length > 2) {
        throw new InvalidArgumentError('Give a TARGET and one thing to explain; see why --help.');
      }
      const subjects = subjectsOf(subject);
      return withConnection(target, async ({ client }) => {
        const answer = await ask(client, subjects);
        await print(json === true ? JSON.stringify(answer) : whyText(answer));
      });
    });
}

/** What the word may mean, the likeliest first. */
export function subjectsOf(word: string): readonly WhySubject[] {
  const [, field, value = ''] = /^(node|seq|path)=(.+)$/s.exec(word) ?? [];
  const number = (text: string): string => {
    if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError(`“${text}” is no number.`);
    return String(Number(text));
  };
  if (field === 'node') return [{ nodeid: number(value) }];
  if (field === 'seq') return [{ seq: number(value) }];
  if (field === 'path') return [{ path: value }];
  if (/^[0-9]+$/.test(word)) return [{ nodeid: number(word) }, { seq: number(word) }];
  if (/^E[A-Z0-9]{2,}$/.test(word)) return [{ errno: word }];
  if (/^H[1-9][0-9]?$/.test(word)) return [{ hazard: word }];
  return [{ path: word }];
}

/** @throws InspectorError with what is said of each meaning, when there is nothing for any */
async function ask(client: InspectorClient, subjects: readonly WhySubject[]): Promise<WhyJson> {
  const refusals: string[] = [];
  for (const about of subjects) {
    try {
      return await client.call('why', { about });
    } catch (error) {
      if (!(error instanceof InspectorError) || error.code !== RPC_ERRORS.unknownEntry) throw error;
      refusals.push(error.message);
    }
  }
  throw new InspectorError(refusals.join(' '), RPC_ERRORS.unknownEntry);
}

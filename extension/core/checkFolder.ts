/** Runs `check` of the bundled program on a folder and reads its report. */

import { execFile } from 'node:child_process';
import type { CheckReport } from '../../daemon/check/report';
import { CHECK_FORMAT } from '../../daemon/check/report';
import { daemonEnvironment } from './launch';

export interface CheckRequest {
  /** The program that runs JavaScript: Electron, the server's node, or one that the user chose. */
  readonly node: string;
  /** dist/daemon/cli.js */
  readonly program: string;
  readonly folder: string;
}

/** A report names every mount below a folder; hosts of containers have thousands. */
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * @param signal ends the check; it removes what it made on the way
 * @throws Error with the program's own sentence when the folder could not be checked
 */
export async function checkFolder(
  { node, program, folder }: CheckRequest,
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<CheckReport> {
  const env = daemonEnvironment(environment);
  const options = { cwd: '/', env, maxBuffer: MAX_BYTES, signal };
  const text = await new Promise<string>((resolve, reject) => {
    execFile(node, [program, 'check', '--json', '--', folder], options, (error, stdout, stderr) => {
      const said = stderr.trim().replace(/^virtiofsd-inspector: /, '');
      if (error === null) resolve(stdout);
      else reject(said === '' ? error : new Error(said));
    });
  });
  return parseReport(text);
}

/** @throws Error when it is no report that this extension understands */
function parseReport(text: string): CheckReport {
  const report = JSON.parse(text) as Partial<CheckReport> | null;
  if (report?.check !== CHECK_FORMAT) {
    throw new Error('The program’s report is of another version than this extension.');
  }
  return report as CheckReport;
}

/** The tours that the bundled program has. */

import { execFile } from 'node:child_process';
import * as v from 'valibot';
import { daemonEnvironment } from './launch';

const tourList = v.array(v.object({ name: v.string(), title: v.string(), summary: v.string() }));
export type TourList = v.InferOutput<typeof tourList>;

/** It only reads a few files. */
const PATIENCE_MS = 20_000;

/**
 * @param node the program that runs JavaScript
 * @param program dist/daemon/cli.js
 * @throws Error with the program's own sentence
 */
export async function listTours(
  node: string,
  program: string,
  environment: NodeJS.ProcessEnv,
): Promise<TourList> {
  const options = { cwd: '/', env: daemonEnvironment(environment), timeout: PATIENCE_MS };
  const text = await new Promise<string>((resolve, reject) => {
    execFile(node, [program, 'tour', '--json'], options, (error, stdout, stderr) => {
      const said = stderr.trim().replace(/^virtiofsd-inspector: /, '');
      if (error === null) resolve(stdout);
      else reject(said === '' ? error : new Error(said));
    });
  });
  return v.parse(tourList, JSON.parse(text));
}

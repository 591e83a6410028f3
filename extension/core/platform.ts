import { existsSync } from 'node:fs';
import path from 'node:path';

/**
 * Whether the bundled daemon can run here. Some installers do not check what a package was built
 * for, so the extension does.
 *
 * @param root the extension's folder
 * @returns one sentence that says why not; undefined when it can
 */
export function platformObstacle(
  root: string,
  platform: string,
  architecture: string,
): string | undefined {
  if (platform !== 'linux') {
    return `The bundled daemon runs on Linux, and this is ${platform}. Open a folder on a Linux host (Remote-SSH, WSL, a container), or connect to a daemon by its URL.`;
  }
  if (existsSync(path.join(root, 'prebuilds', `linux-${architecture}`))) return undefined;
  return `This package of virtiofsd Inspector has no daemon for linux-${architecture}. Install the one that was built for it; connecting by URL works with this one, too.`;
}

import type { BuildOptions } from 'esbuild';

export function bundleForNode(
  entryPoints: Record<string, string>,
  outdir: string,
  more?: BuildOptions,
): Promise<void>;
export function bundleDaemon(outdir: string): Promise<string>;
export function buildAll(): Promise<void>;

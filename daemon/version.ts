import manifest from '../package.json';

/** Of the program, the extension and the protocol's `implementation`. */
export const VERSION: string = manifest.version;

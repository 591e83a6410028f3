/** Builds everything and packs it. @returns the path of the VSIX */
export function packageExtension(): Promise<string>;

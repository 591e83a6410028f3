/** The types of install.mjs for TypeScript callers; what it does is said there. */
export function install(): Promise<string>;

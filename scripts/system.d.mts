/** The types of system.mjs for TypeScript callers; what each does is said there. */
export const components: readonly string[];
export function findProgram(name: string): string | undefined;
export function missing(names: readonly string[]): string[];
export function ensure(names: readonly string[]): void;

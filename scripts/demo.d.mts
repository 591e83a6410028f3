/** What TypeScript may take from the demo's workload. */
export function replaceOnHost(share: string, name: string): boolean;

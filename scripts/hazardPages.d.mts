/** Makes web pages of the Markdown files of one folder in another. */
export function renderHazardPages(from: string, to: string): Promise<void>;

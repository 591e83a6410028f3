/** A value's changes, told to whoever listens; what `vscode.EventEmitter` is, without `vscode`. */
export class Signal<T> {
  readonly #listeners = new Set<(value: T) => void>();

  /** @returns how to stop listening */
  on(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  fire(value: T): void {
    for (const listener of [...this.#listeners]) listener(value);
  }
}

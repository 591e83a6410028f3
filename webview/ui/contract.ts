/**
 * The widgets that the page takes from a component library. The library is chosen by the build
 * (`#ui`): ui/toolkit.ts is the one that ships, ui/elements.ts the way out, because the toolkit is
 * archived. Both are driven by the same tests. Nothing outside these files knows a `<vscode-…>` tag.
 */

export interface ButtonOptions {
  readonly testId: string;
  /** Also its name for screen readers. */
  readonly text: string;
  /** What it does, in a few more words. */
  readonly hint: string;
  readonly appearance: 'primary' | 'secondary';
  readonly onPress: () => void;
}

export interface Button {
  readonly element: HTMLElement;
  setText(text: string, hint: string): void;
  /** For a button that stays down: pause, pin. */
  setPressed(pressed: boolean): void;
}

export interface TextFieldOptions {
  readonly testId: string;
  readonly label: string;
  readonly placeholder: string;
  readonly onInput: (value: string) => void;
}

export interface TextField {
  readonly element: HTMLElement;
  value(): string;
  setValue(value: string): void;
  /** Moves the keyboard focus into the field and selects its text. */
  focus(): void;
}

export interface Ui {
  button(options: ButtonOptions): Button;
  textField(options: TextFieldOptions): TextField;
}

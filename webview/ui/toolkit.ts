/** The widgets of @vscode/webview-ui-toolkit 1.4.0. */

import {
  Button,
  TextField,
  provideVSCodeDesignSystem,
  vsCodeButton,
  vsCodeTextField,
} from '@vscode/webview-ui-toolkit';
import type { Ui } from './contract';

provideVSCodeDesignSystem().register(vsCodeButton(), vsCodeTextField());

export const ui: Ui = {
  button(options) {
    const element = document.createElement('vscode-button');
    if (!(element instanceof Button)) throw new Error('The toolkit did not register its button.');
    element.appearance = options.appearance;
    element.dataset['testid'] = options.testId;
    element.addEventListener('click', options.onPress);
    const setText = (text: string, hint: string): void => {
      if (element.textContent !== text) element.textContent = text;
      element.title = hint;
    };
    setText(options.text, options.hint);
    return {
      element,
      setText,
      setPressed(pressed) {
        element.ariaPressed = String(pressed);
        element.classList.toggle('pressed', pressed);
      },
    };
  },

  textField(options) {
    const element = document.createElement('vscode-text-field');
    if (!(element instanceof TextField)) {
      throw new Error('The toolkit did not register its text field.');
    }
    element.ariaLabel = options.label;
    element.placeholder = options.placeholder;
    element.dataset['testid'] = options.testId;
    element.addEventListener('input', () => options.onInput(element.value));
    return {
      element,
      value: () => element.value,
      setValue(value) {
        element.value = value;
      },
      focus() {
        element.control.focus();
        element.control.select();
      },
    };
  },
};

/** The widgets of @vscode-elements/elements: the way out, should the toolkit stop working. */

import { VscodeButton } from '@vscode-elements/elements/dist/vscode-button/vscode-button.js';
import { VscodeTextfield } from '@vscode-elements/elements/dist/vscode-textfield/vscode-textfield.js';
import type { Ui } from './contract';

export const ui: Ui = {
  button(options) {
    const element = document.createElement('vscode-button');
    if (!(element instanceof VscodeButton)) throw new Error('The button is not registered.');
    element.secondary = options.appearance === 'secondary';
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
    const element = document.createElement('vscode-textfield');
    if (!(element instanceof VscodeTextfield)) throw new Error('The field is not registered.');
    element.label = options.label;
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
        element.wrappedElement.focus();
        element.wrappedElement.select();
      },
    };
  },
};

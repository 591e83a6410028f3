import tseslint from 'typescript-eslint';

/** Widgets come from `#ui` alone, so that the library behind it can be replaced in one file. */
const noWidgetTags = {
  selector: 'Literal[value=/^<?vscode-/], TemplateElement[value.raw=/<vscode-/]',
  message: 'Widgets come from #ui (webview/ui/contract.ts).',
};

export default tseslint.config(
  {
    ignores: ['artifacts', 'coverage', 'dist', 'out', 'prebuilds', '.cache', 'native/build'],
  },
  { files: ['**/*.mjs'], extends: [tseslint.configs.recommended] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { varsIgnorePattern: '^_', argsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'no-console': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
    },
  },
  {
    files: ['**/*.ts'],
    ignores: ['extension/**', 'test/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        { paths: [{ name: 'vscode', message: 'Only extension/ may import vscode.' }] },
      ],
    },
  },
  {
    files: ['webview/**/*.ts'],
    ignores: ['webview/ui/**'],
    rules: { 'no-restricted-syntax': ['error', noWidgetTags] },
  },
  {
    // Tests print what they measured and what they skipped.
    files: ['test/**/*.ts'],
    rules: {
      'no-console': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
);

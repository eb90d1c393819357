import { defineConfig, globalIgnores } from 'eslint/config';
import ts from 'typescript-eslint';

// What of ESLint's own rules finds mistakes that the type checker does not.
const mistakes = Object.fromEntries(
  [
    'for-direction',
    'getter-return',
    'no-async-promise-executor',
    'no-caller',
    'no-compare-neg-zero',
    'no-cond-assign',
    'no-constant-binary-expression',
    'no-debugger',
    'no-dupe-else-if',
    'no-duplicate-case',
    'no-empty',
    'no-empty-character-class',
    'no-empty-pattern',
    'no-eval',
    'no-ex-assign',
    'no-fallthrough',
    'no-global-assign',
    'no-implied-eval',
    'no-irregular-whitespace',
    'no-loss-of-precision',
    'no-misleading-character-class',
    'no-new-func',
    'no-prototype-builtins',
    'no-self-assign',
    'no-self-compare',
    'no-shadow-restricted-names',
    'no-sparse-arrays',
    'no-template-curly-in-string',
    'no-unreachable',
    'no-unsafe-finally',
    'no-unsafe-negation',
    'no-unsafe-optional-chaining',
    'no-unused-labels',
    'no-useless-backreference',
    'no-useless-catch',
    'no-useless-escape',
    'no-var',
    'prefer-const',
    'use-isnan',
    'valid-typeof',
  ].map((rule) => [rule, 'error']),
);

// Layout is prettier's business and imports between folders are dependency-cruiser's; here stands what finds mistakes.
export default defineConfig(
  globalIgnores(['dist/', 'coverage/', 'node_modules/', 'test/fixtures/', '**/.sallyport/']),
  { rules: mistakes },
  {
    files: ['**/*.ts'],
    extends: [ts.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: ['./tsconfig.check.json'], tsconfigRootDir: import.meta.dirname } },
    rules: {
      // A promise that nobody waits for is an error that nobody sees.
      '@typescript-eslint/no-floating-promises': 'error',
      // An async listener's rejection has no one to catch it; attributes and returns of void functions are harmless.
      '@typescript-eslint/no-misused-promises': [
        'error',
        { checksVoidReturn: { attributes: false, inheritedMethods: false } },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' },
      ],
      // Interfaces promise promises that an implementation may have at once.
      '@typescript-eslint/require-await': 'off',
      // `string | AnyOther` documents the known values.
      '@typescript-eslint/no-redundant-type-constituents': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // The first of something that can only be iterated is found by a loop that returns.
      'no-unreachable-loop': ['error', { ignore: ['ForInStatement', 'ForOfStatement'] }],
      eqeqeq: ['error', 'always'],
      'no-console': 'error',
    },
  },
  {
    // Documents in, decisions out; bytes in, messages out. Whoever calls them has the clock and the network.
    files: ['engine/**/*.ts', 'gateway/protocols/*/codec.ts', 'gateway/protocols/*/operation.ts'],
    ignores: ['**/*.test.ts'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...['performance', 'setTimeout', 'setInterval', 'setImmediate', 'fetch', 'process'].map((name) => ({
          name,
          message: 'This part has no clock, no network and no environment of its own: what it needs is handed in.',
        })),
      ],
      'no-restricted-syntax': [
        'error',
        ...[
          "CallExpression[callee.object.name='Date'][callee.property.name='now']",
          "NewExpression[callee.name='Date'][arguments.length=0]",
          "CallExpression[callee.name='Date']",
          "CallExpression[callee.object.name='Math'][callee.property.name='random']",
        ].map((selector) => ({ selector, message: 'Equal input, equal answer: no clock and no dice here.' })),
      ],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        { paths: [{ name: 'node:net', allowImportNames: ['isIP'], message: 'Only isIP is pure.' }] },
      ],
    },
  },
  {
    // Tests look into what came from outside, where `any` is what JSON.parse gives.
    files: ['**/*.test.ts', 'test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    // Programs for people to read at a terminal.
    files: ['bench/**', 'scripts/**', 'examples/**', 'bin/**'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['**/*.{js,mjs,cjs}'],
    languageOptions: {
      globals: Object.fromEntries(
        ['process', 'console', 'URL', 'Buffer', 'setTimeout', 'clearTimeout', 'performance', 'fetch'].map((name) => [
          name,
          'readonly',
        ]),
      ),
    },
    rules: { eqeqeq: ['error', 'always'], 'no-unused-vars': ['error', { caughtErrors: 'none' }], 'no-undef': 'error' },
  },
  {
    // The console's page runs in browsers; what parses text as markup has no place there.
    files: ['gateway/console/page/**/*.js'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          'document',
          'window',
          'location',
          'history',
          'Node',
          'EventSource',
          'FormData',
          'URLSearchParams',
          'setInterval',
          'requestAnimationFrame',
          'TextDecoder',
        ].map((name) => [name, 'readonly']),
      ),
    },
    rules: {
      'no-restricted-properties': [
        'error',
        ...['innerHTML', 'outerHTML', 'insertAdjacentHTML', 'srcdoc', 'setHTMLUnsafe'].map((property) => ({
          property,
          message: "Others' text must never become markup: make elements with h() of dom.js.",
        })),
      ],
    },
  },
  { files: ['**/*.cjs'], languageOptions: { sourceType: 'commonjs' } },
);

import config from '../jest.config.js';

/**
 * What takes minutes: the same tests' environment, other files. `npm run test:long`; `.ci/run` runs both.
 *
 * @type {import('jest').Config}
 */
export default {
  ...config,
  rootDir: '..',
  testMatch: ['<rootDir>/test/**/*.long.test.ts'],
  testPathIgnorePatterns: ['/node_modules/'],
};

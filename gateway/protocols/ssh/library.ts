/** The library is CommonJS: its values are had by its default export alone. Types are imported from `ssh2` itself. */
import ssh2 from 'ssh2';

export const { Client, Server, utils } = ssh2;

import { hash } from 'node:crypto';

/** Hexadecimal. */
export const sha256 = (data: string | Buffer): string => hash('sha256', data);

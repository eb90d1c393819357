/** Keyed masks read their key from a setting that the gateway alone can set; clients can neither read nor change it. */

/** 64 hexadecimal digits, sent with the upstream's start-up packet. */
export const maskKeySetting = 'sallyport.mask_key';

/**
 * The key's 32 bytes. set_bit fails where there are fewer: a key that is empty would make a hash that everybody can compute.
 */
export const key = `pg_catalog.set_bit(pg_catalog.decode(pg_catalog.current_setting('${maskKeySetting}'), 'hex'), 255, 0)`;

/** 32 bytes out of a bytea expression: SHA-256 over the key and SHA-256 over key and value, so that neither end can be extended. */
export const keyed = (bytes: string): string =>
  `pg_catalog.sha256(pg_catalog.byteacat(${key}, pg_catalog.sha256(pg_catalog.byteacat(${key}, ${bytes}))))`;

/** A text's bytes as the database holds them: another encoding could lack a character, and the error would show it. */
export const bytesOf = (text: string): string => `pg_catalog.convert_to(${text}, pg_catalog.getdatabaseencoding())`;

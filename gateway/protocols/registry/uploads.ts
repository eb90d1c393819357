import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { unknownUpload } from './codec.js';

/**
 * Where an upload goes on is for the registry to say, with a path that is its own affair. Clients get it sealed: they cannot
 * read it, nor put together another one, and it is good for the same principal, target and repository alone. So nothing of
 * uploads is kept here, and any replica with the same key goes on with them.
 */
export interface Upload {
  readonly issuer: string;
  readonly subject: string;
  readonly target: string;
  readonly repository: string;
  /** Path and query at the registry. */
  readonly place: string;
  /** Where one request brought all bytes so far: their digest by SHA-256, and how many they are. */
  readonly whole?: { readonly sha256: string; readonly bytes: number };
  /** Milliseconds since the epoch. */
  readonly expires_ms: number;
}

/** Whose it is, and what for. */
export type Owner = Pick<Upload, 'issuer' | 'subject' | 'target' | 'repository'>;

/** Registries themselves forget uploads after about as long. */
export const upload_ms_max = 86_400_000;
const cipher = 'aes-256-gcm';
const nonce_bytes = 12;
const tag_bytes = 16;

export class UploadSeal {
  readonly #key: Buffer;

  /** @param secret At least 32 bytes of it are random. */
  constructor(secret: Buffer) {
    this.#key = Buffer.from(hkdfSync('sha256', secret, '', 'registry uploads', 32));
  }

  seal(upload: Upload): string {
    const nonce = randomBytes(nonce_bytes);
    const sealing = createCipheriv(cipher, this.#key, nonce);
    const text = Buffer.concat([sealing.update(JSON.stringify(upload), 'utf8'), sealing.final()]);
    return Buffer.concat([nonce, sealing.getAuthTag(), text]).toString('base64url');
  }

  /** Throws RequestRefusal for what was not sealed here, for somebody or something else, or too long ago. */
  open(sealed: string, of: Owner, now_ms: number): Upload {
    const upload = this.#read(sealed);
    const fits = (['issuer', 'subject', 'target', 'repository'] as const).every((name) => upload[name] === of[name]);
    if (!fits || upload.expires_ms <= now_ms) throw unknownUpload();
    return upload;
  }

  #read(sealed: string): Upload {
    const bytes = Buffer.from(sealed, 'base64url');
    if (bytes.length <= nonce_bytes + tag_bytes) throw unknownUpload();
    const opening = createDecipheriv(cipher, this.#key, bytes.subarray(0, nonce_bytes), { authTagLength: tag_bytes });
    opening.setAuthTag(bytes.subarray(nonce_bytes, nonce_bytes + tag_bytes));
    try {
      const text = Buffer.concat([opening.update(bytes.subarray(nonce_bytes + tag_bytes)), opening.final()]);
      return JSON.parse(text.toString('utf8')) as Upload;
    } catch {
      throw unknownUpload();
    }
  }
}

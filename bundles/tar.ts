/**
 * Just enough of tar to read what `opa build` writes and to write the same bytes for the same files every time.
 *
 * A header is 512 bytes: name[100] mode[8] uid[8] gid[8] size[12] mtime[12] checksum[8] type[1] link[100]
 * "ustar\0" "00" user[32] group[32] major[8] minor[8] prefix[155]; the content follows, padded to 512.
 *
 * @see POSIX.1-2017, pax, "ustar Interchange Format"
 */
const block = 512;

/**
 * The regular files of an archive, by name without a leading "./" or "/". Throws where the archive is damaged.
 *
 * @param demand "whole": also where it has anything but files and folders, or a name twice, since what is passed by (a link, the
 * long name of a file in a header of its own) would be missing from what was meant.
 */
export function readTar(archive: Buffer, demand?: 'whole'): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (let at = 0; at + block <= archive.length;) {
    const header = archive.subarray(at, at + block);
    if (header.every((byte) => byte === 0)) break;
    const size = parseInt(text(header, 124, 12).trim(), 8);
    const start = at + block;
    if (!Number.isInteger(size) || size < 0 || start + size > archive.length) throw new Error('damaged tar archive');
    const type = text(header, 156, 1);
    const name = [text(header, 345, 155), text(header, 0, 100)].filter(Boolean).join('/').replace(/^(\.?\/)+/, ''); // prettier-ignore
    const isFile = type === '0' || type === '';
    if (demand === 'whole' && ((!isFile && type !== '5') || files.has(name)))
      throw new Error(`${JSON.stringify(name)} stands in it twice, or is neither a file nor a folder`);
    if (isFile) files.set(name, archive.subarray(start, start + size));
    at = start + Math.ceil(size / block) * block;
  }
  return files;
}

/** An archive without times, owners or order of its own: equal files give equal bytes. */
export function writeTar(files: ReadonlyMap<string, Uint8Array>): Buffer {
  const parts: Uint8Array[] = [];
  for (const [name, content] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const fields = split(name);
    if (fields === undefined) throw new Error(`name too long for a tar archive: ${name}`);
    const [prefix, last] = fields;
    const header = Buffer.alloc(block);
    header.write(last, 0);
    header.write(prefix, 345);
    header.write('0000644\0' + '0000000\0' + '0000000\0', 100);
    header.write(`${content.length.toString(8).padStart(11, '0')}\0` + '00000000000\0', 124);
    header.write('        ', 148);
    header.write('0', 156);
    header.write('ustar\0' + '00', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    parts.push(header, content, Buffer.alloc((block - (content.length % block)) % block));
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

export const fitsTar = (name: string): boolean => split(name) !== undefined;

/** A name of more than 100 bytes stands in two fields, of which the first has up to 155 and ends before a slash. */
function split(name: string): [prefix: string, last: string] | undefined {
  if (Buffer.byteLength(name) <= 100) return ['', name];
  for (let at = name.indexOf('/'); at > 0; at = name.indexOf('/', at + 1)) {
    const [prefix, last] = [name.slice(0, at), name.slice(at + 1)];
    if (Buffer.byteLength(prefix) <= 155 && Buffer.byteLength(last) <= 100) return [prefix, last];
  }
  return undefined;
}

function text(header: Buffer, at: number, length: number): string {
  const field = header.toString('utf8', at, at + length);
  const end = field.indexOf('\0');
  return end < 0 ? field : field.slice(0, end);
}

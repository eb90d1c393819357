import { withBody, withField, type Draft } from './draft.js';
import { asJson, bearer, otherType, request, type Gate } from './gate.js';

/** APIs over HTTP. */
export function httpGate(token: string): Gate {
  const ask = (method: string, target: string, body?: string) =>
    request(bearer(token), method, `/http/web${target}`, body);
  return {
    protocol: 'http',
    well: ask('GET', '/orders?page=1'),
    carrying: ask('POST', '/orders', '{"name":"x","items":[1,2]}'),
    own: {
      'JSON that is broken': asJson,
      'JSON that is broken, once more': asJson,
      'a form that is broken': (draft, from) =>
        withBody(
          draft,
          'application/x-www-form-urlencoded',
          from.pick([
            'a=1&a=2',
            'a=%',
            'a=%zz',
            'a=%C3',
            'a=%00',
            '_method=DELETE',
            'a=1&A=2',
            'é=1',
            'a b=1',
            '%00=1',
            'a=1#',
          ]),
        ),
      'parts that are broken': (draft, from) =>
        withBody(
          draft,
          from.pick([
            'multipart/form-data; boundary=x',
            'multipart/form-data',
            'multipart/form-data; boundary=',
            'multipart/form-data; boundary=y',
          ]),
          from.pick([
            '--x\r\n\r\n',
            'x',
            '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x',
            '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n2\r\n--x--\r\n',
            '--x\nContent-Disposition: form-data; name="a"\n\n1\n--x--\n',
            '--x\r\nContent-Disposition: attachment\r\n\r\n1\r\n--x--\r\n',
          ]),
        ),
      'text that is none': (draft, from) =>
        withBody(draft, 'text/plain', Buffer.from(from.pick([[0xff], [0xc3], [0xef, 0xbb, 0xbf, 0x61]]))),
      'a type that is none': otherType(
        'json',
        'application/json; charset=utf-16',
        'a/b, c/d',
        'application/json; charset=x; charset=y',
        '/',
        ';',
      ),
      'a body that is compressed': withField('Content-Encoding', 'gzip'),
      'a body where there is none': (draft, from) => ({ ...draft, method: from.pick(['GET', 'OPTIONS']) }),
      'a method that is not carried': (draft, from) => ({
        ...draft,
        method: from.pick(['TRACE', 'PROPFIND', 'PURGE', 'LOCK', 'MKCOL']),
        body: Buffer.alloc(0),
      }),
      'a method within the body': (draft) => ({ ...draft, body: Buffer.from('{"_method":"DELETE"}') }),
      'the token within the request': (draft, from) =>
        from.pick<Draft>([
          { ...draft, body: Buffer.from(JSON.stringify({ note: token })) },
          { ...draft, target: `${draft.target}?a=${token}` },
          { ...draft, fields: [...draft.fields, ['X-Note', token]] },
        ]),
    },
  };
}

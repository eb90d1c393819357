import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createAuthority, type Certificate } from '../support/certificates.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import {
  sslRequest,
  startAnswering,
  startInterceptor,
  startRelay,
  type Place,
  type Witness,
} from '../support/relay.js';
import { startTlsPostgres, type TlsPostgres } from '../support/tls-postgres.js';
import { message, rows, WireClient, type WireError } from '../support/wire.js';

const authority = createAuthority();
const usual = authority.issue();
const verified = { mode: 'verify-full', ca: authority.certificate };

/** The targets of one gateway: all are at one port, behind which each test puts what it needs. */
const targets = {
  scram: { user: 'scram', tls: 'require' },
  md5: { user: 'md5', tls: 'require' },
  clear: { user: 'clear', tls: 'require' },
  disable: { user: 'scram', tls: 'disable' },
  'by-address': { user: 'scram', tls: verified },
  'by-name': { user: 'scram', host: 'localhost', tls: verified },
  // These sign in in clear, so that somebody in the middle can pass it on.
  'by-address-clear': { user: 'clear', tls: verified },
  'other-name-clear': { user: 'clear', tls: { ...verified, server_name: 'db.example' } },
  'trusted-by-system': { user: 'clear', tls: 'verify-full' },
} as const;
type Target = keyof typeof targets;

describe('TLS to the upstream', () => {
  let server: TlsPostgres;
  let relay: Witness;
  let gateway: TestGateway;
  let destination: Place;

  beforeAll(async () => {
    server = await startTlsPostgres(usual);
    relay = await startRelay(() => destination);
    gateway = await startTestGateway({
      database: { ...server, user: 'postgres', url: '', drop: () => server.stop() },
      config: {
        targets: Object.entries(targets).map(([name, upstream]) => ({
          name,
          protocol: 'postgres',
          upstream: {
            host: '127.0.0.1',
            port: relay.port,
            database: 'postgres',
            password: server.password,
            ...upstream,
          },
        })),
      },
    });
  });
  beforeEach(() => {
    destination = server;
  });
  afterAll(async () => {
    await gateway?.close();
    await relay?.close();
    await server?.stop();
  });

  /** Whether the connection from gateway to server is encrypted, as the server has it: "t" or "f". */
  async function encrypted(target: Target): Promise<string | null | undefined> {
    const client = await gateway.open({ database: target });
    const answer = await client.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
    await client.end();
    return rows(answer)[0]?.[0];
  }
  const refusal = (target: Target): Promise<Readonly<Record<string, string>>> =>
    gateway.open({ database: target }).then(
      () => Promise.reject(new Error('the gateway opened a session')),
      (error: unknown) => (error as WireError).fields,
    );
  /** Runs `use` with this in the server's place. */
  async function behind(starting: Promise<Witness>, use: (witness: Witness) => Promise<void>): Promise<void> {
    const witness = await starting;
    destination = witness;
    try {
      await use(witness);
    } finally {
      await witness.close();
    }
  }
  const intercepted = (
    certificate: Certificate,
    use: (witness: Witness) => Promise<void>,
    edit?: (bytes: Buffer) => Buffer,
  ) => behind(startInterceptor(certificate, server, edit), use);
  const said = ({ heard }: Witness) => Buffer.concat(heard).toString('latin1');

  describe('mode require', () => {
    test('is encrypted', async () => {
      expect(await encrypted('scram')).toBe('t');
    });

    test('takes any certificate', () =>
      intercepted(createAuthority('Somebody').issue({ names: ['db.example'] }), async () => {
        expect(await encrypted('clear')).toBe('t');
      }));

    test('is refused by a server that offers none, and nothing but the question was sent', () =>
      behind(startAnswering('N'), async ({ heard }) => {
        expect(await refusal('clear')).toMatchObject({
          S: 'FATAL',
          C: '08006',
          M: expect.stringMatching(/offers no TLS, .*upstream\.tls/u),
        });
        expect(heard).toEqual([sslRequest]);
      }));

    // The second is what a server from before TLS says; the others are what somebody in the middle may try (CVE-2021-23222).
    test.each(['S\x15\x03\x03', 'EFATAL', 'R\0\0\0\x08\0\0\0\0'])(
      'is refused where the question is answered with %j',
      (answer) =>
        behind(startAnswering(answer), async ({ heard }) => {
          expect(await refusal('clear')).toMatchObject({
            S: 'FATAL',
            C: '08006',
            M: expect.stringContaining('answered the request for TLS with something else'),
          });
          expect(heard).toEqual([sslRequest]);
        }),
    );
  });

  describe('mode verify-full', () => {
    test.each(['by-address', 'by-name'] as const)(
      'is content with a certificate for the server (%s)',
      async (target) => {
        expect(await encrypted(target)).toBe('t');
      },
    );

    test('looks for another name where the configuration has one', () =>
      intercepted(authority.issue({ names: ['db.example'] }), async () => {
        expect(await encrypted('other-name-clear')).toBe('t');
      }));

    test('knows a server by its address, without any name', () =>
      intercepted(authority.issue({ names: ['127.0.0.1'] }), async () => {
        expect(await encrypted('by-address-clear')).toBe('t');
      }));

    test.each<[string, Certificate, Target, RegExp]>([
      ['another name', authority.issue({ names: ['db.example'] }), 'by-name', /localhost/u],
      ['another address', authority.issue({ names: ['10.1.2.3'] }), 'by-address-clear', /127\.0\.0\.1/u],
      [
        'a name, where an address is configured',
        authority.issue({ names: ['localhost'] }),
        'by-address-clear',
        /127\.0\.0\.1/u,
      ],
      ['an address, where another name is wanted', usual, 'other-name-clear', /db\.example/u],
      ['an authority that is not known', createAuthority().issue(), 'by-address-clear', /upstream\.tls\.ca/u],
      ['an authority that the system does not know', usual, 'trusted-by-system', /upstream\.tls\.ca/u],
      ['yesterday', authority.issue({ validFrom_days: -3, validTo_days: -1 }), 'by-address-clear', /expired/u],
      ['tomorrow', authority.issue({ validFrom_days: 1, validTo_days: 2 }), 'by-address-clear', /not yet valid/u],
    ])('refuses a certificate for %s, and no word was said inside', (_, certificate, target, why) =>
      intercepted(certificate, async (witness) => {
        const fields = await refusal(target);
        expect(fields).toMatchObject({ S: 'FATAL', C: '08006', M: expect.stringContaining(`"${target}"`) });
        expect(fields['M']).toMatch(/its certificate is/u);
        expect(fields['M']).toMatch(why);
        expect(said(witness)).toBe('');
      }),
    );

    test('is refused by a server that offers no TLS', () =>
      behind(startAnswering('N'), async ({ heard }) => {
        expect(await refusal('by-address')).toMatchObject({ C: '08006', M: expect.stringContaining('offers no TLS') });
        expect(heard).toEqual([sslRequest]);
      }));
  });

  test('mode disable, against a server that insists on TLS, says which setting is wrong', () =>
    behind(
      startRelay(() => server),
      async ({ heard }) => {
        expect(await refusal('disable')).toMatchObject({
          S: 'FATAL',
          C: '08004',
          M: expect.stringContaining('upstream.tls'),
        });
        expect(heard).toHaveLength(1);
        expect(heard[0]!.subarray(0, 8).equals(sslRequest)).toBe(false);
      },
    ));

  describe('signing in', () => {
    test.each(['md5', 'clear'] as const)('by %s works inside TLS', async (target) => {
      expect(await encrypted(target)).toBe('t');
    });

    test('by SCRAM binds the channel: the proof is of the certificate that was seen', () =>
      // With the server's own key, the one in the middle is the server's end of the channel.
      intercepted(usual, async (witness) => {
        expect(await encrypted('scram')).toBe('t');
        expect(said(witness)).toMatch(/SCRAM-SHA-256-PLUS\0.{4}p=tls-server-end-point,,n=,r=/su);
      }));

    test('by SCRAM fails through somebody in the middle, whom mode require lets in', () =>
      intercepted(authority.issue(), async (witness) => {
        expect(await refusal('scram')).toMatchObject({ S: 'FATAL', C: '08004' });
        expect(said(witness)).toContain('SCRAM-SHA-256-PLUS');
      }));

    test('by SCRAM fails where somebody takes the offer of channel binding away', () =>
      intercepted(
        usual,
        async (witness) => {
          expect(await refusal('scram')).toMatchObject({ S: 'FATAL', C: '08004' });
          expect(said(witness)).toMatch(/SCRAM-SHA-256\0.{4}y,,n=,r=/su);
        },
        // The length of the message stays: a server may offer whatever else it likes.
        (bytes) => Buffer.from(bytes.toString('latin1').replace('SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256-NONE'), 'latin1'),
      ));

    // RFC 5929, section 4.1: the hash is the one of the certificate's own signature.
    test.each(['sha384', 'sha512'] as const)('binds the channel to a certificate signed with %s', async (digest) => {
      const certificate = authority.issue({ digest });
      await server.useCertificate(certificate);
      try {
        await intercepted(certificate, async (witness) => {
          expect(await encrypted('by-address')).toBe('t');
          expect(said(witness)).toContain('p=tls-server-end-point');
        });
      } finally {
        await server.useCertificate(usual);
      }
    });

    test('with a wrong password says which setting is wrong', async () => {
      await server.sql("alter role scram password 'another'");
      try {
        const fields = await refusal('scram');
        expect(fields).toMatchObject({ S: 'FATAL', C: '08004', M: expect.stringContaining('upstream.password') });
        expect(JSON.stringify(fields)).not.toContain(server.password);
      } finally {
        await server.sql(`alter role scram password '${server.password}'`);
      }
    });
  });

  test('a cancel request is encrypted and verified, too', () =>
    intercepted(usual, async ({ heard }) => {
      const client = await gateway.open({ database: 'by-address' });
      const running = client.query('select pg_sleep(60)');
      while (!(await server.sleeping())) continue;
      const other = await WireClient.connect(gateway);
      other.sendRaw(message.cancel(client.processId, client.secretKey));
      expect((await running).find(({ type }) => type === 'E')?.body.toString()).toContain('C57014');
      // Length 16, then the code 1234 5678: read inside TLS.
      expect(heard.map((bytes) => bytes.toString('hex').slice(0, 16))).toContain('0000001004d2162e');
      await client.end();
      await other.closed();
    }));

  test('an answer larger than any buffer arrives whole', async () => {
    const client = await gateway.open({ database: 'scram' });
    const answer = await client.query('select n, repeat(md5(n::text), 100) from generate_series(1, 3000) n');
    const received = rows(answer);
    expect(received).toHaveLength(3000);
    expect(received.every(([n, text], index) => n === String(index + 1) && text?.length === 3200)).toBe(true);
    await client.end();
  });
});

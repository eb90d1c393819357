import { expect, test } from '@jest/globals';
import { pino } from 'pino';
import { IdentityError } from './errors.js';
import { signIns, type SignInParts } from './sign-in.js';

const client = { address: '127.0.0.1', port: 1, confidential: true };

test('a sign-in that is under way when the gateway ends is recorded before the audit is closed', async () => {
  let refuse: (error: Error) => void = () => undefined;
  const recorded: string[] = [];
  let open = true;
  const parts = {
    identity: { identify: () => new Promise((_, reject) => (refuse = reject)) },
    audit: {
      write({ kind }: { kind: string }) {
        if (!open) throw new Error('the audit is closed');
        recorded.push(kind);
      },
    },
    log: pino({ level: 'silent' }),
  } as unknown as SignInParts;
  const signing = signIns(parts);
  const asked = expect(signing.identify('eyJ.a.b', client)).rejects.toThrow('late');
  const ended = signing.settled().then(() => (open = false));
  refuse(new IdentityError('expired', 'late'));
  await Promise.all([asked, ended]);
  expect(recorded).toEqual(['sign_in_refused']);
  await signing.settled();
});

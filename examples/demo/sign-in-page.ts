import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type Provider from 'oidc-provider';

/** Somebody who signs in by a page: name, password, and what the ID token says of them. */
export interface DemoPerson {
  readonly id: string;
  readonly password: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

const body_bytes_max = 4_096;
export const signInPath = '/sign-in/';

/** The provider's page where people say who they are. The provider knows by a cookie which sign-in the page is for. */
export function createSignInPage(provider: Provider, people: readonly DemoPerson[]) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      await provider.interactionDetails(request, response);
    } catch {
      page(response, 400, '<p>This sign-in has ended. Begin again at the console.</p>');
      return;
    }
    if (request.method !== 'POST') {
      page(response, 200, form(people[0]?.id ?? ''));
      return;
    }
    const given = new URLSearchParams(await bodyOf(request));
    const person = people.find(({ id }) => id === given.get('name'));
    if (person === undefined || !isSame(person.password, given.get('password') ?? '')) {
      page(response, 403, `<p role="alert">That is not the password.</p>${form(people[0]?.id ?? '')}`);
      return;
    }
    await provider.interactionFinished(request, response, { login: { accountId: person.id } });
  };
}

const isSame = (a: string, b: string) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request as AsyncIterable<Buffer>) {
    body += chunk.toString('latin1');
    if (body.length > body_bytes_max) throw new Error('a name and a password are shorter');
  }
  return body;
}

/** Nothing of what was sent stands in it. */
const form = (name: string) => `<form method="post">
<label>Name <input name="name" autocomplete="username" value="${name}"></label>
<label>Password <input name="password" type="password" autocomplete="current-password" autofocus></label>
<button>Sign in</button>
</form>`;

function page(response: ServerResponse, status: number, content: string): void {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    'cache-control': 'no-store',
  });
  response.end(`<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<title>Sign in to the shop</title>
<style>:root{color-scheme:light dark}body{font:1rem system-ui;max-width:20rem;margin:15vh auto;padding:0 1rem}
label{display:block;margin:1rem 0}input,button{font:inherit;width:100%;padding:.5rem;box-sizing:border-box}</style>
<h1>The shop's sign-in</h1>${content}</html>`);
}

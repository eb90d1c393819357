/** The part of oidc-provider that the demo uses; the package brings no types. */
declare module 'oidc-provider' {
  import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';

  export default class Provider {
    constructor(issuer: string, configuration: Readonly<Record<string, unknown>>);
    callback(): RequestListener;
    /** The sign-in that the browser's cookie belongs to. Rejects where there is none. */
    interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<unknown>;
    /** Answers the request: the browser goes on with the sign-in. */
    interactionFinished(request: IncomingMessage, response: ServerResponse, result: object): Promise<void>;
    Grant: new (of: { readonly accountId: string | undefined; readonly clientId: string | undefined }) => Grant;
  }

  export interface Grant {
    addOIDCScope(scope: string): void;
    save(): Promise<string>;
  }
}

/** Where a person reads a request and answers it, below what people call the gateway. The console serves it. */
export const requestPath = (hold: string): string => `/console/approvals/${encodeURIComponent(hold)}`;

/** Undefined where people have no name for the gateway (`console.url`): then a hold is known by its id alone. */
export function requestLinks(url: string | undefined): ((hold: string) => string) | undefined {
  return url === undefined ? undefined : (hold) => `${url}${requestPath(hold)}`;
}

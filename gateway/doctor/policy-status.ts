import { request as requestInClear } from 'node:http';
import { request } from 'node:https';
import type { Config, StatusConfig } from '../config/index.js';
import { fail, type Finding, messageOf, ok, warn } from './finding.js';

const answer_ms_max = 5_000;

/** Whether who is told how the policy stands (`policy.status`) answers, and takes the gateway's token. Nothing is told. */
export async function statusFindings({ policy: { status } }: Config): Promise<Finding[]> {
  if (status === undefined) return [];
  const check = 'policy.status';
  const url = `${status.url}/status${status.partition === undefined ? '' : `/${status.partition}`}`;
  try {
    const answer = await asked(url, status);
    if (answer === 401 || answer === 403)
      return [
        fail(
          check,
          `${url} answers ${answer}: ${status.token === undefined ? 'it wants a token' : 'it does not take the token'}`,
          'Give policy.status a token that may post status there; until then nobody there learns how the policy stands.',
        ),
      ];
    // What takes a POST need not answer anything else: 404 and 405 say that somebody is there.
    return answer >= 500
      ? [
          warn(
            check,
            `${url} answers ${answer}`,
            'Look at the service: what is not taken is sent anew, and /readyz warns.',
          ),
        ]
      : [ok(check, `${url} answers`)];
  } catch (error) {
    const mend =
      'Check policy.status.url, the network and its certificate (policy.status.ca); operations do not wait for it.';
    return [fail(check, `${url} cannot be reached: ${messageOf(error)}`, mend)];
  }
}

/** The status of a GET, with the gateway's credentials. Redirects are not followed: nor does the gateway. */
function asked(url: string, { token, ca }: StatusConfig): Promise<number> {
  return new Promise((resolve, reject) => {
    const send = url.startsWith('https:') ? request : requestInClear;
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const signal = AbortSignal.timeout(answer_ms_max);
    const call = send(url, { headers, agent: false, signal, ...(ca === undefined ? {} : { ca }) }, (response) => {
      response.destroy();
      resolve(response.statusCode ?? 0);
    });
    call.on('error', (error) =>
      reject(signal.aborted ? new Error(`no answer within ${answer_ms_max / 1000} s`) : error),
    );
    call.end();
  });
}
